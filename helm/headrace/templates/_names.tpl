{{/* Names and labels. A component is dispatcher, retrier, gateway or topics; its objects are called <fullname>-<component>. */}}

{{- define "headrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimAll "-" -}}
{{- end -}}

{{/* At most 50 characters without dots, which a release's name may have, so that the name with the longest suffix is
     still a DNS label. */}}
{{- define "headrace.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $chart := include "headrace.name" . -}}
{{- $name = ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) -}}
{{- end -}}
{{- $name | replace "." "-" | trunc 50 | trimAll "-" -}}
{{- end -}}

{{- define "headrace.serviceAccountName" -}}
{{- default (ternary (include "headrace.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The labels that select the pods of a component: dict root, component. They never change within a release. */}}
{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ include "headrace.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of an object: dict root, component, and labels. Labels from the values never replace ours. */}}
{{- define "headrace.labels" -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 -}}
{{- merge (include "headrace.podLabels" (merge (dict "extra" (.labels | default dict)) (omit . "extra")) | fromYaml) (dict "app.kubernetes.io/managed-by" .root.Release.Service "helm.sh/chart" $chart) | toYaml -}}
{{- end -}}

{{/* The labels of a pod: dict root, component, and extra. A new version of the chart alone must roll no pod, so it is
     not among them. */}}
{{- define "headrace.podLabels" -}}
{{- $version := .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | regexFind "^.*[A-Za-z0-9]" -}}
{{- $own := merge (include "headrace.selector" . | fromYaml) (dict "app.kubernetes.io/version" $version "app.kubernetes.io/part-of" "headrace") -}}
{{- merge $own (.extra | default dict) .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* The metadata of an object: dict root, component, and optionally name, labels, annotations. */}}
{{- define "headrace.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "headrace.fullname" .root) .component) | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "headrace.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "headrace.image" -}}
{{- $image := .Values.image -}}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}
