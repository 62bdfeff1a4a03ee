{{/* The objects of a long-running process, dispatcher or retrier: dict root, component. */}}

{{- define "headrace.deployment" -}}
{{- $root := .root -}}
{{- $duty := index .root.Values .component -}}
{{- $port := include "headrace.httpPort" . -}}
{{- $of := dict "root" $root "component" .component "duty" $duty "args" (concat (list .component) $duty.extraArgs) "config" (printf "%s-settings" (include "headrace.fullname" $root)) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "headrace.metadata" $of | nindent 2 }}
spec:
  replicas: {{ int $duty.replicas }}
  revisionHistoryLimit: 5
  # A new pod is ready once it stands by; only then does an old one leave, by the shutdown ladder. So there is always a
  # standby, and a rollout is at most one hand-over for each pod replaced.
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
              containerPort: {{ $port }}
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
