{{/* The settings: `config` as Headrace's TOML, and the values that the chart itself takes from them. */}}

{{/* The settings that the program gets. Files that the chart mounts itself take precedence over `config`. */}}
{{- define "headrace.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and $config.redis (or .Values.secrets.redisUrl.name ($config.redis | default dict).url_file) -}}
{{- $_ := unset $config.redis "url" -}}
{{- end -}}
{{- if or .Values.kafkaCa.secret .Values.kafkaCa.configMap -}}
{{- $_ := set $config "kafka" (merge (dict "ca_file" "/etc/headrace/kafka-ca/ca.crt") ($config.kafka | default dict)) -}}
{{- end -}}
{{- if .Values.gateway.enabled -}}
{{- $_ := set $config "gateway" (merge (dict "enabled" true) ($config.gateway | default dict)) -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{- define "headrace.toml" -}}
# Written by the chart from its values, `config`. Every key: docs/settings.md.
{{ include "headrace.toml.table" (dict "path" "" "table" (include "headrace.config" . | fromJson)) }}
{{- end -}}

{{/* A table and those below it: dict path, table. Values come first, since TOML cannot return to a table. */}}
{{- define "headrace.toml.table" -}}
{{- $path := .path -}}
{{- $lines := list -}}
{{- $below := list -}}
{{- range $key, $value := .table -}}
{{- $name := ternary $key (toRawJson $key) (regexMatch "^[A-Za-z0-9_-]+$" $key) -}}
{{- if kindIs "map" $value -}}
{{- $below = append $below (include "headrace.toml.table" (dict "path" (ternary $name (printf "%s.%s" $path $name) (empty $path)) "table" $value)) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $lines = append $lines (printf "%s = %s" $name (include "headrace.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- if and $path (or $lines (empty .table)) }}
[{{ $path }}]
{{ end -}}
{{- range $lines }}
{{- . }}
{{ end -}}
{{- range $below }}{{ . }}{{ end -}}
{{- end -}}

{{/* Helm turns every number of a values file into a float; whole numbers are written as integers again. */}}
{{- define "headrace.toml.value" -}}
{{- if kindIs "float64" . -}}
{{- ternary (printf "%.0f" .) (toRawJson .) (eq . (floor .)) -}}
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}

{{/* The HTTP port of a component: dict root, component. */}}
{{- define "headrace.httpPort" -}}
{{- $own := index .root.Values.config .component | default dict -}}
{{- int ($own.http_port | default (get (dict "dispatcher" 8080 "retrier" 8081 "gateway" 8090) .component)) -}}
{{- end -}}

{{/* The port of a component's probes and metrics, which the gateway has apart: dict root, component. */}}
{{- define "headrace.probesPort" -}}
{{- if eq .component "gateway" -}}
{{- int ((.root.Values.config.gateway | default dict).metrics_port | default 8091) -}}
{{- else -}}
{{- include "headrace.httpPort" . -}}
{{- end -}}
{{- end -}}

{{/* The address of the gateway's probes and metrics. */}}
{{- define "headrace.metricsHost" -}}
{{- (.Values.config.gateway | default dict).metrics_host | default "0.0.0.0" -}}
{{- end -}}

{{/* The address it listens on: dict root, component. The kubelet and Prometheus connect to the pod's, not to loopback. */}}
{{- define "headrace.httpHost" -}}
{{- (index .root.Values.config .component | default dict).http_host | default "0.0.0.0" -}}
{{- end -}}

{{/* Seconds that leaving may take: dict root, component. A setting for the dispatcher and the gateway, whose pause before it
     and whose last answers count too; fixed at 20 s for the retrier. */}}
{{- define "headrace.leavingSeconds" -}}
{{- if eq .component "dispatcher" -}}
{{- int ((.root.Values.config.dispatcher | default dict).grace_s | default 30) -}}
{{- else if eq .component "retrier" -}}
20
{{- else -}}
{{- $own := .root.Values.config.gateway | default dict -}}
{{- $drain := ternary $own.drain_s 20 (and (hasKey $own "drain_s") (not (kindIs "invalid" $own.drain_s))) -}}
{{- add (int .root.Values.gateway.preStopSeconds) (int (ceil $drain)) 5 -}}
{{- end -}}
{{- end -}}

{{/* The shortest grace period of a pod: those seconds, and 5 s for the runtime to stop the container. */}}
{{- define "headrace.terminationSecondsMin" -}}
{{- add (include "headrace.leavingSeconds" .) 5 -}}
{{- end -}}
