{{/* Parts that all our pods share: user, files, settings. Only command and duties differ. */}}

{{/* The secrets that a component gets: dict root, component. Each is a file, and a variable holds its path. */}}
{{- define "headrace.secrets" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $given := list -}}
{{- if eq .component "dispatcher" -}}
{{- $given = append $given (dict "file" "openai-api-key" "variable" "HEADRACE_OPENAI__API_KEY_FILE" "from" $secrets.openaiApiKey) -}}
{{- end -}}
{{- $password := $secrets.kafkaPassword -}}
{{- if and (eq .component "topics") .root.Values.topics.passwordSecret.name -}}
{{- $password = .root.Values.topics.passwordSecret -}}
{{- end -}}
{{- $given = append $given (dict "file" "kafka-password" "variable" "HEADRACE_KAFKA__PASSWORD_FILE" "from" $password) -}}
{{- if ne .component "topics" -}}
{{- $given = append $given (dict "file" "redis-url" "variable" "HEADRACE_REDIS__URL_FILE" "from" $secrets.redisUrl) -}}
{{- $given = append $given (dict "file" "http-token" "variable" "HEADRACE_DISPATCHER__HTTP_TOKEN_FILE" "from" $secrets.httpToken) -}}
{{- $given = append $given (dict "file" "tracing-headers" "variable" "HEADRACE_TRACING__HEADERS_FILE" "from" $secrets.tracingHeaders) -}}
{{- end -}}
{{- $named := list -}}
{{- range $given -}}
{{- if .from.name -}}{{- $named = append $named . -}}{{- end -}}
{{- end -}}
{{- dict "all" $named | toJson -}}
{{- end -}}

{{/* The pod's spec without its containers: dict root, component, config (the ConfigMap with the settings). */}}
{{- define "headrace.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $secrets := (include "headrace.secrets" . | fromJson).all -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $values.podSecurityContext | nindent 2 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    configMap:
      name: {{ .config | quote }}
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- if $secrets }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- range $secrets }}
        - secret:
            name: {{ .from.name | quote }}
            items:
              - key: {{ .from.key | quote }}
                path: {{ .file }}
        {{- end }}
  {{- end }}
  {{- if and (eq .component "gateway") $values.gateway.keysSecret.name }}
  # A folder, and no subPath: the kubelet renews it after a change, and the gateways read it again.
  - name: gateway-keys
    secret:
      secretName: {{ $values.gateway.keysSecret.name | quote }}
      defaultMode: 0440
      items:
        - key: {{ $values.gateway.keysSecret.key | quote }}
          path: keys.toml
  {{- end }}
  {{- with $values.kafkaCa }}
  {{- if or .secret .configMap }}
  - name: kafka-ca
    {{- if .secret }}
    secret:
      secretName: {{ .secret | quote }}
      defaultMode: 0440
    {{- else }}
    configMap:
      name: {{ .configMap | quote }}
    {{- end }}
      items:
        - key: {{ .key | quote }}
          path: ca.crt
  {{- end }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A container without its ports and probes: dict root, component, args, and duty (its part of the values). */}}
{{- define "headrace.container" -}}
{{- $values := .root.Values -}}
{{- $secrets := (include "headrace.secrets" . | fromJson).all -}}
name: {{ .component }}
image: {{ include "headrace.image" .root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args:
  {{- toYaml .args | nindent 2 }}
env:
  - name: HEADRACE_CONFIG
    value: /etc/headrace/settings/headrace.toml
  {{- range $secrets }}
  - name: {{ .variable }}
    value: /etc/headrace/secrets/{{ .file }}
  {{- end }}
  {{- if ne .component "topics" }}
  # The image sets these variables too, and they would override the settings file.
  {{- range $duty := list "dispatcher" "retrier" }}
  - name: HEADRACE_{{ upper $duty }}__HTTP_HOST
    value: {{ include "headrace.httpHost" (dict "root" $.root "component" $duty) | quote }}
  {{- end }}
  {{- end }}
  {{- if eq .component "gateway" }}
  - name: HEADRACE_GATEWAY__HTTP_HOST
    value: {{ include "headrace.httpHost" (dict "root" .root "component" "gateway") | quote }}
  - name: HEADRACE_GATEWAY__METRICS_HOST
    value: {{ include "headrace.metricsHost" .root | quote }}
  {{- if $values.gateway.keysSecret.name }}
  - name: HEADRACE_GATEWAY__KEYS_FILE
    value: /etc/headrace/gateway-keys/keys.toml
  {{- end }}
  {{- end }}
  {{- if and (eq .component "topics") $values.topics.username }}
  - name: HEADRACE_KAFKA__USERNAME
    value: {{ $values.topics.username | quote }}
  {{- end }}
  {{- with .duty.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  {{- toYaml $values.containerSecurityContext | nindent 2 }}
{{- with .duty.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: settings
    mountPath: /etc/headrace/settings
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- if $secrets }}
  - name: secrets
    mountPath: /etc/headrace/secrets
    readOnly: true
  {{- end }}
  {{- if and (eq .component "gateway") $values.gateway.keysSecret.name }}
  - name: gateway-keys
    mountPath: /etc/headrace/gateway-keys
    readOnly: true
  {{- end }}
  {{- if or $values.kafkaCa.secret $values.kafkaCa.configMap }}
  - name: kafka-ca
    mountPath: /etc/headrace/kafka-ca
    readOnly: true
  {{- end }}
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
