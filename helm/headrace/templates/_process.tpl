{{/* The objects of a long-running process, dispatcher, retrier or gateway: dict root, component. */}}

{{- define "headrace.deployment" -}}
{{- $root := .root -}}
{{- $duty := index .root.Values .component -}}
{{- $of := dict "root" $root "component" .component "duty" $duty "args" (concat (list .component) $duty.extraArgs) "config" (printf "%s-settings" (include "headrace.fullname" $root)) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "headrace.metadata" $of | nindent 2 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false $duty) }}
  replicas: {{ int $duty.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  {{- if eq .component "gateway" }}
  # A new pod is ready once it accepts calls; only then does an old one leave, by its drain.
  {{- else }}
  # A new pod is ready once it stands by; only then does an old one leave, by the shutdown ladder. So there is always a
  # standby, and a rollout is at most one hand-over for each pod replaced.
  {{- end }}
  minReadySeconds: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "headrace.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "headrace.podLabels" (merge (dict "extra" $duty.podLabels) $of) | nindent 8 }}
      annotations:
        {{- merge (dict "checksum/settings" (include "headrace.toml" $root | sha256sum)) $duty.podAnnotations $root.Values.commonAnnotations | toYaml | nindent 8 }}
    spec:
      serviceAccountName: {{ include "headrace.serviceAccountName" $root | quote }}
      terminationGracePeriodSeconds: {{ int ($duty.terminationGracePeriodSeconds | default (include "headrace.terminationSecondsMin" $of)) }}
      {{- with $root.Values.topologySpread }}
      topologySpreadConstraints:
        {{- range . }}
        - {{- toYaml . | nindent 10 }}
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "headrace.selector" $of | nindent 14 }}
        {{- end }}
      {{- end }}
      {{- include "headrace.pod" $of | nindent 6 }}
      containers:
        - {{- include "headrace.container" $of | nindent 10 }}
          ports:
            - name: http
              containerPort: {{ include "headrace.probesPort" $of }}
            {{- if eq .component "gateway" }}
            - name: api
              containerPort: {{ include "headrace.httpPort" $of }}
            {{- end }}
          {{- if and (eq .component "gateway") $duty.preStopSeconds }}
          # Connections still come until every node has learned that this pod leaves; only then does the drain begin.
          lifecycle:
            preStop:
              exec:
                command: [sleep, {{ $duty.preStopSeconds | quote }}]
          {{- end }}
          # The port opens once Kafka has answered.
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: {{ div (int $root.Values.startupSeconds) 5 }}
          # Checks only that the event loop runs. It succeeds while Kafka is away: a restart would not bring Kafka back.
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
{{- end -}}

{{- define "headrace.service" -}}
{{- $port := include "headrace.httpPort" . -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "headrace.metadata" (merge (dict "annotations" .root.Values.service.annotations) .) | nindent 2 }}
spec:
  type: ClusterIP
  selector:
    {{- include "headrace.selector" . | nindent 4 }}
  ports:
    - name: http
      port: {{ $port }}
      targetPort: http
      protocol: TCP
{{- end -}}

{{/* The gateway's Service, which leads clients to their port alone. */}}
{{- define "headrace.gatewayService" -}}
{{- $service := .Values.gateway.service -}}
{{- $of := dict "root" . "component" "gateway" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "headrace.metadata" (merge (dict "annotations" (merge (dict) $service.annotations .Values.service.annotations)) $of) | nindent 2 }}
spec:
  type: {{ $service.type }}
  selector:
    {{- include "headrace.selector" $of | nindent 4 }}
  ports:
    - name: api
      port: {{ int $service.port }}
      targetPort: api
      protocol: TCP
{{- end -}}

{{- define "headrace.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "headrace.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # While Kafka is away no pod is ready; that must not hold up the drain of a node.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "headrace.selector" . | nindent 6 }}
{{- end -}}
