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
{{- $_ := set $rule.annotations "runbook_url" (include "headrace.runbook" (dict "root" $ "url" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{/* The address of a runbook, or of all of them: dict root, url, of which only what follows the last slash counts. */}}
{{- define "headrace.runbook" -}}
{{- $monitoring := .root.Values.monitoring -}}
{{- $name := splitList "/" .url | last | trimSuffix ".md" -}}
{{- printf "%s/%s" (trimSuffix "/" $monitoring.runbooksUrl) (ternary (printf "%s%s" $name $monitoring.runbooksSuffix) "" (ne $name "")) -}}
{{- end -}}

{{/* The dashboard. A link that is no address would lead into Grafana itself, so it is left out. */}}
{{- define "headrace.dashboard" -}}
{{- $dashboard := .Files.Get "files/dashboard.json" | fromJson -}}
{{- $linked := regexMatch "^https?://" .Values.monitoring.runbooksUrl -}}
{{- $parts := prepend $dashboard.panels $dashboard -}}
{{- range $dashboard.panels -}}
{{- $parts = concat $parts (.panels | default list) -}}
{{- end -}}
{{- range $parts -}}
{{- $links := list -}}
{{- range $link := ternary .links list (and $linked (hasKey . "links")) -}}
{{- $links = append $links (merge (dict "url" (include "headrace.runbook" (dict "root" $ "url" $link.url))) $link) -}}
{{- end -}}
{{- if hasKey . "links" -}}
{{- $_ := set . "links" $links -}}
{{- end -}}
{{- end -}}
{{- toRawJson $dashboard -}}
{{- end -}}
