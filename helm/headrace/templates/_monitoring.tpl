{{/* What Prometheus and Grafana are given: targets, rules, dashboard. */}}

{{/* The label `job` of all processes of the budget, by which rules and dashboard aggregate. */}}
{{- define "headrace.job" -}}
{{- printf "%s/%s" .Release.Namespace (include "headrace.fullname" .) -}}
{{- end -}}

{{/* The groups of files/rules.yaml with the values' labels, severities and runbooks. Prometheus' own templates in it, such
     as $labels, are text here: the file is read as data, never as a template. */}}
{{- define "headrace.rules" -}}
{{- $values := .Values.monitoring -}}
{{- $groups := (.Files.Get "files/rules.yaml" | fromYaml).groups -}}
{{- range $group := $groups -}}
{{- range $rule := $group.rules -}}
{{- if $rule.alert -}}
{{- $severity := ($rule.labels | default dict).severity -}}
{{- $chosen := dict -}}
{{- if $severity -}}
{{- $chosen = dict "severity" (get $values.prometheusRule.severities $severity | default $severity) -}}
{{- end -}}
{{- $_ := set $rule "labels" (merge $chosen ($rule.labels | default dict) $values.prometheusRule.alertLabels) -}}
{{- with ($rule.annotations | default dict).runbook_url -}}
{{- $_ := set $rule.annotations "runbook_url" (include "headrace.runbooks" (dict "root" $ "text" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{/* The text with the runbooks' address in place of its placeholder: dict root, text. */}}
{{- define "headrace.runbooks" -}}
{{- .text | replace "RUNBOOKS/" (printf "%s/" (trimSuffix "/" .root.Values.monitoring.runbooksUrl)) -}}
{{- end -}}

{{/* The dashboard. A link that is no address would lead into Grafana itself, so it is left out. */}}
{{- define "headrace.dashboard" -}}
{{- $dashboard := .Files.Get "files/dashboard.json" | fromJson -}}
{{- if regexMatch "^https?://" .Values.monitoring.runbooksUrl -}}
{{- range $dashboard.links -}}
{{- $_ := set . "url" (include "headrace.runbooks" (dict "root" $ "text" .url)) -}}
{{- end -}}
{{- else -}}
{{- $_ := set $dashboard "links" list -}}
{{- end -}}
{{- toRawJson $dashboard -}}
{{- end -}}
