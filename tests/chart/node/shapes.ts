// The types that the chart's own objects are held against, as the literals of a file that `tsc` reads: it refuses a
// field that a type does not have, which the operator's compiled schemas let pass.
import type { AnnotationQuery, Dashboard as Whole, DataQuery, FieldConfig, FieldConfigSource, Panel, RowPanel } from "@grafana/schema";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { FieldConfig as StateField, Options as States } from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type { FieldConfig as CurveField, Options as Curves } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

export type { IPodMonitor as PodMonitor, IPrometheusRule as PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

/** In JSON a member of an enum is its value. */
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** Grafana's package has no type of its own for a query of Prometheus. */
type Query = DataQuery & {
  expr: string;
  exemplar?: boolean;
  instant?: boolean;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
};

type Drawn<Type extends string, Options, Field> = Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Type;
  options: Options;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & { defaults: Omit<FieldConfig, "custom"> & { custom?: Field } };
  targets: Query[];
};

type Shown =
  | RowPanel
  | Drawn<"stat", Partial<Stat>, never>
  | Drawn<"state-timeline", Partial<States>, StateField>
  | Drawn<"timeseries", Partial<Curves>, CurveField>;

type Annotation = Omit<AnnotationQuery, "target"> & { target: Query; titleFormat: string; textFormat: string };

export type Dashboard = Json<
  Omit<Whole, "annotations" | "panels"> & { annotations: { list: Annotation[] }; panels: Shown[] }
>;
