{{/*
Mistakes that the schema cannot refuse, or not in words that help. Each refusal is one sentence that begins with the key
and ends with what to do; every manifest includes them first. Headrace itself refuses the rest, such as deadlines
against retention, at its start in the same way (or `headrace config check` before).
*/}}

{{- define "headrace.refuse" -}}
{{- include "headrace.refuse.secrets" . -}}
{{- include "headrace.refuse.kafka" . -}}
{{- include "headrace.refuse.lanes" . -}}
{{- include "headrace.refuse.http" . -}}
{{- include "headrace.refuse.gateway" . -}}
{{- include "headrace.refuse.grace" . -}}
{{- include "headrace.refuse.image" . -}}
{{- include "headrace.refuse.privileges" . -}}
{{- include "headrace.refuse.environment" . -}}
{{- include "headrace.refuse.monitoring" . -}}
{{- include "headrace.refuse.labels" . -}}
{{- include "headrace.refuse.additions" . -}}
{{- end -}}

{{- define "headrace.refuse.secrets" -}}
{{- $config := .Values.config -}}
{{- range list (list "openai" "api_key" "key" "openaiApiKey") (list "kafka" "password" "password" "kafkaPassword") (list "dispatcher" "http_token" "token" "httpToken") (list "tracing" "headers" "headers" "tracingHeaders") -}}
{{- if hasKey ((index $config (index . 0)) | default dict) (index . 1) -}}
{{- fail (printf "config.%s.%s would be readable in a ConfigMap: put the %s into a Secret and name that in secrets.%s.name." (index . 0) (index . 1) (index . 2) (index . 3)) -}}
{{- end -}}
{{- end -}}
{{- $redis := $config.redis | default dict -}}
{{- if not (or .Values.secrets.redisUrl.name $redis.url $redis.url_file (include "headrace.hasVariable" (dict "values" .Values "pattern" "^HEADRACE_REDIS__URL(_FILE)?$"))) -}}
{{- fail "config.redis.url is missing: say where Redis is, or name the Secret that holds the URL in secrets.redisUrl.name." -}}
{{- end -}}
{{- if and $redis.url (not .Values.secrets.redisUrl.name) -}}
{{- $url := $redis.url -}}
{{- if or (contains "@" $url) (contains "password=" $url) -}}
{{- fail "config.redis.url holds a password, and would be readable in a ConfigMap: put the whole URL into a Secret and name that in secrets.redisUrl.name." -}}
{{- end -}}
{{- if not (regexMatch "^(redis|rediss|unix)://" $url) -}}
{{- fail "config.redis.url must begin with redis://, rediss:// or unix://." -}}
{{- end -}}
{{- end -}}
{{- if contains "@" (($config.tracing | default dict).endpoint | default "") -}}
{{- fail "config.tracing.endpoint holds a login, and would be readable in a ConfigMap: leave it out, put a header such as authorization=Basic ... into a Secret, and name that in secrets.tracingHeaders.name." -}}
{{- end -}}
{{- range list (list "openai" "api_key_file" "openaiApiKey") (list "kafka" "password_file" "kafkaPassword") (list "redis" "url_file" "redisUrl") (list "dispatcher" "http_token_file" "httpToken") (list "tracing" "headers_file" "tracingHeaders") -}}
{{- $group := index . 0 -}}{{- $key := index . 1 -}}{{- $secret := index . 2 -}}
{{- if and (index ((index $config $group) | default dict) $key) (index $.Values.secrets $secret).name -}}
{{- fail (printf "config.%s.%s and secrets.%s.name both say where the same secret is: leave one of them empty." $group $key $secret) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.kafka" -}}
{{- $kafka := .Values.config.kafka | default dict -}}
{{- $protocol := $kafka.security_protocol | default "PLAINTEXT" -}}
{{- if not (regexMatch "^[A-Za-z0-9][A-Za-z0-9._-]*$" ($kafka.topic_prefix | default "generation")) -}}
{{- fail (printf "config.kafka.topic_prefix is %q: topics are named by it, so use letters, digits, dots, - and _ only." $kafka.topic_prefix) -}}
{{- end -}}
{{- if not $kafka.bootstrap_servers -}}
{{- fail "config.kafka.bootstrap_servers is missing: name some of Kafka's nodes as host:port." -}}
{{- end -}}
{{- range (kindIs "slice" $kafka.bootstrap_servers | ternary $kafka.bootstrap_servers (splitList "," (toString $kafka.bootstrap_servers))) -}}
{{- if not (regexMatch "^[^:/ ]+:[0-9]{1,5}$|^\\[[0-9A-Fa-f:]+\\]:[0-9]{1,5}$" (trim .)) -}}
{{- fail (printf "config.kafka.bootstrap_servers has %q where host:port is expected, such as kafka:9092." (trim .)) -}}
{{- end -}}
{{- end -}}
{{- if hasPrefix "SASL" $protocol -}}
{{- range list "username" "sasl_mechanism" -}}
{{- if not (index $kafka .) -}}
{{- fail (printf "config.kafka.%s is missing: security_protocol %s needs it." . $protocol) -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.secrets.kafkaPassword.name $kafka.password_file (include "headrace.hasVariable" (dict "values" .Values "pattern" "^HEADRACE_KAFKA__PASSWORD(_FILE)?$"))) -}}
{{- fail (printf "secrets.kafkaPassword.name is empty: security_protocol %s needs a password, so name the Secret that holds it." $protocol) -}}
{{- end -}}
{{- else -}}
{{- if or .Values.secrets.kafkaPassword.name .Values.topics.passwordSecret.name -}}
{{- fail (printf "secrets.kafkaPassword.name or topics.passwordSecret.name is set, but no password is used while config.kafka.security_protocol is %s: set that to SASL_SSL, or empty the name." $protocol) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.kafkaCa.secret .Values.kafkaCa.configMap -}}
{{- fail "kafkaCa.secret and kafkaCa.configMap are both set: certificates come from one of them, so empty the other." -}}
{{- end -}}
{{- if or .Values.kafkaCa.secret .Values.kafkaCa.configMap -}}
{{- if $kafka.ca_file -}}
{{- fail "config.kafka.ca_file and kafkaCa both say where the certificates are: remove config.kafka.ca_file, the chart fills it in." -}}
{{- end -}}
{{- if not (has $protocol (list "SSL" "SASL_SSL")) -}}
{{- fail (printf "kafkaCa has no effect while config.kafka.security_protocol is %s: set that to SSL or SASL_SSL." $protocol) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The sentences of `headrace config check` for the same lanes; a test compares them. */}}
{{- define "headrace.refuse.lanes" -}}
{{- $lanes := dict "urgent" (dict "order" 1 "reserve" 0.05) "standard" (dict "order" 2 "floor" 0.1) "bulk" (dict "order" 3 "floor" 0.05) -}}
{{- range $lane, $keys := .Values.config.lanes -}}
{{- if eq (toString $keys) "true" -}}
{{- fail (printf "config.lanes.%s is true: a lane is a table of settings, or false to do without it." $lane) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9][a-z0-9_-]{0,31}$" $lane) -}}
{{- fail (printf "config.lanes: a lane cannot be called '%s': use 1 to 32 lower-case letters, digits, - and _." $lane) -}}
{{- end -}}
{{- if eq $lane "control" -}}
{{- fail "config.lanes: a lane cannot be called 'control': that is the control topic." -}}
{{- end -}}
{{- if kindIs "bool" $keys -}}
{{- $_ := unset $lanes $lane -}}
{{- else -}}
{{- if not (or (hasKey $lanes $lane) (hasKey ($keys | default dict) "order")) -}}
{{- fail (printf "config.lanes.%s is a new lane without an order: give it one, or correct its name (there are urgent, standard and bulk)." $lane) -}}
{{- end -}}
{{- $_ := set $lanes $lane (merge dict ($keys | default dict) (index $lanes $lane | default dict)) -}}
{{- end -}}
{{- end -}}
{{- if not $lanes -}}
{{- fail "config.lanes: no lane is left: keep at least one under [lanes]." -}}
{{- end -}}
{{- $orders := dict -}}
{{- range $lane := keys $lanes | sortAlpha -}}
{{- $order := toString (int (index $lanes $lane).order) -}}
{{- $_ := set $orders $order (append (index $orders $order | default list) $lane) -}}
{{- end -}}
{{- range $order := keys $orders | sortAlpha -}}
{{- if gt (len (index $orders $order)) 1 -}}
{{- fail (printf "config.lanes: the lanes %s both have order %s: give every lane its own." (join " and " (index $orders $order)) $order) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "floor" "reserve" -}}
{{- $total := 0.0 -}}
{{- range $keys := $lanes -}}
{{- $total = addf $total (float64 (index $keys $key | default 0)) -}}
{{- end -}}
{{- if ge $total 1.0 -}}
{{- fail (printf "config.lanes: the %ss of all lanes add up to %.6g: keep their sum below 1." $key $total) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.http" -}}
{{- range $component := concat (list "dispatcher" "retrier") (ternary (list "gateway") list .Values.gateway.enabled) -}}
{{- $own := index $.Values.config $component | default dict -}}
{{- if hasKey $own "http_port" -}}
{{- if lt (int $own.http_port) 1024 -}}
{{- fail (printf "config.%s.http_port is %d: probes and Services need a fixed port, and a process without root cannot open one below 1024, so take 8080 or another." $component (int $own.http_port)) -}}
{{- end -}}
{{- end -}}
{{- if has ($own.http_host | default "") (list "localhost" "127.0.0.1" "::1") -}}
{{- fail (printf "config.%s.http_host is %s: it could not be reached from outside the pod, not even by the kubelet's probes, so leave it out." $component $own.http_host) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.gateway" -}}
{{- $gateway := .Values.gateway -}}
{{- $own := .Values.config.gateway | default dict -}}
{{- if $gateway.enabled -}}
{{- if not (or $gateway.keysSecret.name $own.keys_file) -}}
{{- fail "gateway.keysSecret.name is empty: the gateway does not start without a file of keys, so name the Secret that holds it; `headrace gateway key new` writes one." -}}
{{- end -}}
{{- if and $gateway.keysSecret.name $own.keys_file -}}
{{- fail "config.gateway.keys_file and gateway.keysSecret.name both say where the keys are: leave one of them empty." -}}
{{- end -}}
{{- if has ($own.metrics_host | default "") (list "localhost" "127.0.0.1" "::1") -}}
{{- fail (printf "config.gateway.metrics_host is %s: it could not be reached from outside the pod, not even by the kubelet's probes, so leave it out." $own.metrics_host) -}}
{{- end -}}
{{- if and (hasKey $own "metrics_port") (lt (int $own.metrics_port) 1024) -}}
{{- fail (printf "config.gateway.metrics_port is %d: probes need a fixed port, and a process without root cannot open one below 1024, so take 8091 or another." (int $own.metrics_port)) -}}
{{- end -}}
{{- $of := dict "root" . "component" "gateway" -}}
{{- if eq (include "headrace.httpPort" $of) (include "headrace.probesPort" $of) -}}
{{- fail (printf "config.gateway.http_port and config.gateway.metrics_port are both %s: give probes and metrics a port of their own." (include "headrace.httpPort" $of)) -}}
{{- end -}}
{{- if and $gateway.autoscaling.enabled (lt (int $gateway.autoscaling.maxReplicas) (int $gateway.replicas)) -}}
{{- fail (printf "gateway.autoscaling.maxReplicas is %d, fewer than gateway.replicas, %d: raise it." (int $gateway.autoscaling.maxReplicas) (int $gateway.replicas)) -}}
{{- end -}}
{{- if and $gateway.ingress.enabled (not $gateway.ingress.host) -}}
{{- fail "gateway.ingress.host is empty: name the host that clients have in their base URL." -}}
{{- end -}}
{{- if and $gateway.httpRoute.enabled (not $gateway.httpRoute.parentRefs) -}}
{{- fail "gateway.httpRoute.parentRefs is empty: name the Gateway that the route belongs to." -}}
{{- end -}}
{{- else if or $gateway.ingress.enabled $gateway.httpRoute.enabled $gateway.autoscaling.enabled -}}
{{- fail "gateway.ingress, gateway.httpRoute and gateway.autoscaling need gateway.enabled: set that to true." -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.grace" -}}
{{- range $component := list "dispatcher" "retrier" "gateway" -}}
{{- $of := dict "root" $ "component" $component -}}
{{- $leaving := include "headrace.leavingSeconds" $of -}}
{{- $least := int (include "headrace.terminationSecondsMin" $of) -}}
{{- $given := (index $.Values $component).terminationGracePeriodSeconds -}}
{{- if and (not (kindIs "invalid" $given)) (lt (int $given) $least) -}}
{{- if eq $component "dispatcher" -}}
{{- fail (printf "dispatcher.terminationGracePeriodSeconds is %d, and leaving may take config.dispatcher.grace_s = %s s and the container 5 s more: set it to %d or more, leave it empty, or lower config.dispatcher.grace_s." (int $given) $leaving $least) -}}
{{- end -}}
{{- if eq $component "gateway" -}}
{{- fail (printf "gateway.terminationGracePeriodSeconds is %d, and gateway.preStopSeconds, config.gateway.drain_s and 10 s more are %d: set it to that or more, or leave it empty." (int $given) $least) -}}
{{- end -}}
{{- fail (printf "retrier.terminationGracePeriodSeconds is %d, and leaving may take %s s and the container 5 s more: set it to %d or more, or leave it empty." (int $given) $leaving $least) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.image" -}}
{{- $image := .Values.image -}}
{{- if and $image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" $image.digest)) -}}
{{- fail (printf "image.digest is %q: it must be sha256: and 64 hex digits, as the registry shows it." $image.digest) -}}
{{- end -}}
{{- if regexMatch "[:@][^/]*$" $image.repository -}}
{{- fail (printf "image.repository is %q: a tag belongs into image.tag and a digest into image.digest." $image.repository) -}}
{{- end -}}
{{- end -}}

{{/* Settings that "restricted", the strictest of the Pod Security Standards, forbids. */}}
{{- define "headrace.refuse.privileges" -}}
{{- $pod := .Values.podSecurityContext -}}
{{- $container := .Values.containerSecurityContext -}}
{{- $keep := "keep the default, Headrace needs no more" -}}
{{- if or (ne (toString $pod.runAsNonRoot) "true") (eq (toString $container.runAsNonRoot) "false") -}}
{{- fail (printf "podSecurityContext.runAsNonRoot must be true: %s." $keep) -}}
{{- end -}}
{{- range list $pod $container -}}
{{- if eq (toString .runAsUser) "0" -}}
{{- fail (printf "podSecurityContext.runAsUser is 0, which is root: %s." $keep) -}}
{{- end -}}
{{- end -}}
{{- if not (has (dig "seccompProfile" "type" "" $pod) (list "RuntimeDefault" "Localhost")) -}}
{{- fail (printf "podSecurityContext.seccompProfile.type must be RuntimeDefault or Localhost: %s." $keep) -}}
{{- end -}}
{{- if $container.privileged -}}
{{- fail (printf "containerSecurityContext.privileged must not be true: %s." $keep) -}}
{{- end -}}
{{- if ne (toString $container.allowPrivilegeEscalation) "false" -}}
{{- fail (printf "containerSecurityContext.allowPrivilegeEscalation must be false: %s." $keep) -}}
{{- end -}}
{{- if ne (toString $container.readOnlyRootFilesystem) "true" -}}
{{- fail (printf "containerSecurityContext.readOnlyRootFilesystem must be true: %s." $keep) -}}
{{- end -}}
{{- $capabilities := $container.capabilities | default dict -}}
{{- if or (not (has "ALL" ($capabilities.drop | default list))) $capabilities.add -}}
{{- fail (printf "containerSecurityContext.capabilities must drop ALL and add none: %s." $keep) -}}
{{- end -}}
{{- end -}}

{{/* Not empty if a container gets a variable that matches: dict values, pattern. */}}
{{- define "headrace.hasVariable" -}}
{{- range concat .values.dispatcher.extraEnv .values.retrier.extraEnv .values.gateway.extraEnv .values.topics.extraEnv -}}
{{- if regexMatch $.pattern .name -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.environment" -}}
{{- $mounted := dict "HEADRACE_OPENAI__API_KEY" "openaiApiKey" "HEADRACE_KAFKA__PASSWORD" "kafkaPassword" "HEADRACE_REDIS__URL" "redisUrl" "HEADRACE_DISPATCHER__HTTP_TOKEN" "httpToken" "HEADRACE_TRACING__HEADERS" "tracingHeaders" -}}
{{- range $component := list "dispatcher" "retrier" "gateway" "topics" -}}
{{- range $variable := (index $.Values $component).extraEnv -}}
{{- $name := upper $variable.name -}}
{{- if regexMatch "^HEADRACE_(CONFIG|(DISPATCHER|RETRIER)__(HTTP_PORT|HTTP_HOST|GRACE_S)|DISPATCHER|RETRIER|GATEWAY(__(ENABLED|(HTTP|METRICS)_(HOST|PORT)|DRAIN_S|KEYS_FILE))?)$" $name -}}
{{- fail (printf "%s.extraEnv has %s, which the chart needs to know: set it under config instead." $component $variable.name) -}}
{{- end -}}
{{- if and (regexMatch "^(OPENAI_API_KEY|HEADRACE_OPENAI__API_KEY|HEADRACE_KAFKA__PASSWORD|HEADRACE_REDIS__URL|HEADRACE_DISPATCHER__HTTP_TOKEN|HEADRACE_TRACING__HEADERS)$" $name) (hasKey $variable "value") -}}
{{- fail (printf "%s.extraEnv has %s as a plain value, which is readable in the pod's manifest: put it into a Secret and name that under secrets." $component $variable.name) -}}
{{- end -}}
{{- $secret := get $mounted (trimSuffix "_FILE" $name) -}}
{{- if $secret -}}
{{- if (index $.Values.secrets $secret).name -}}
{{- fail (printf "%s.extraEnv has %s and secrets.%s.name is set as well: Headrace refuses a secret that is given twice, so leave one of them out." $component $variable.name $secret) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.secrets.openaiApiKey.name (.Values.config.openai | default dict).api_key_file (include "headrace.hasVariable" (dict "values" .Values "pattern" "^(HEADRACE_OPENAI__API_KEY|OPENAI_API_KEY)(_FILE)?$"))) -}}
{{- fail "secrets.openaiApiKey.name is empty: the dispatcher does not start without a key, so name the Secret that holds it." -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.monitoring" -}}
{{- $monitoring := .Values.monitoring -}}
{{- $namespace := .Values.networkPolicy.monitoringNamespace -}}
{{- if and $namespace (not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" $namespace)) -}}
{{- fail (printf "networkPolicy.monitoringNamespace is %q: name one namespace, with lower-case letters, digits and - only." $namespace) -}}
{{- end -}}
{{- if $monitoring.podMonitor.enabled -}}
{{- $timeout := int ($monitoring.podMonitor.timeoutSeconds | default 1) -}}
{{- $interval := int $monitoring.podMonitor.intervalSeconds -}}
{{- if gt $timeout $interval -}}
{{- fail (printf "monitoring.podMonitor.timeoutSeconds is %d, longer than intervalSeconds, %d: Prometheus refuses that, so lower it or leave it empty." $timeout $interval) -}}
{{- end -}}
{{- range $component := list "dispatcher" "retrier" "gateway" -}}
{{- if eq (get (index $.Values $component).podAnnotations "prometheus.io/scrape") "true" -}}
{{- fail (printf "%s.podAnnotations has prometheus.io/scrape while monitoring.podMonitor.enabled is true: pods would be scraped twice and leaders be counted twice, so leave one of them out." $component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $monitoring.prometheusRule.enabled -}}
{{- include "headrace.refuse.alerts" . -}}
{{- end -}}
{{- if or (hasPrefix "app.kubernetes.io/" $monitoring.dashboard.label) (eq $monitoring.dashboard.label "helm.sh/chart") -}}
{{- fail (printf "monitoring.dashboard.label is %s, which the chart itself sets: take the label that Grafana's sidecar looks for." $monitoring.dashboard.label) -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.alerts" -}}
{{- $own := list "alertname" "job" -}}
{{- $severities := list -}}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).groups -}}
{{- range .rules -}}
{{- $own = concat $own (keys (.labels | default dict)) -}}
{{- $severities = append $severities ((.labels | default dict).severity | default "") -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.monitoring.prometheusRule.alertLabels -}}
{{- if not (regexMatch "^[a-zA-Z_][a-zA-Z0-9_]*$" $name) -}}
{{- fail (printf "monitoring.prometheusRule.alertLabels has %q, which Prometheus takes for no label: use letters, digits and _ only." $name) -}}
{{- end -}}
{{- if has $name $own -}}
{{- fail (printf "monitoring.prometheusRule.alertLabels has %s, which the alerts have already: take another name, or rename severities in monitoring.prometheusRule.severities." $name) -}}
{{- end -}}
{{- end -}}
{{- $rule := .Values.monitoring.prometheusRule -}}
{{- $label := "[{]{2} *[$]labels[.][a-zA-Z_][a-zA-Z0-9_]* *[}]{2}" -}}
{{- range list
  (list "monitoring.prometheusRule.alertLabels" $rule.alertLabels)
  (list "monitoring.prometheusRule.severities" $rule.severities)
  (list "monitoring" (dict "runbooksUrl" .Values.monitoring.runbooksUrl "runbooksSuffix" .Values.monitoring.runbooksSuffix)) -}}
{{- $at := index . 0 -}}
{{- range $name, $value := index . 1 -}}
{{- if contains "{{" (regexReplaceAll $label $value "") -}}
{{- fail (printf "%s.%s is %q, which Prometheus reads as a template, and if it cannot it loads no rule at all: leave the braces out, or name a label, such as {{ $labels.lane }}." $at $name $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $severity, $_ := .Values.monitoring.prometheusRule.severities -}}
{{- if not (has $severity $severities) -}}
{{- fail (printf "monitoring.prometheusRule.severities has %q, which no rule has: there are %s." $severity (without $severities "" | uniq | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels and annotations that an API server would refuse, half a release later. */}}
{{- define "headrace.refuse.labels" -}}
{{- $values := .Values -}}
{{- $monitoring := .Values.monitoring -}}
{{- $key := "^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" -}}
{{- range list
  (list "commonLabels" $values.commonLabels)
  (list "dispatcher.podLabels" $values.dispatcher.podLabels)
  (list "retrier.podLabels" $values.retrier.podLabels)
  (list "monitoring.podMonitor.labels" $monitoring.podMonitor.labels)
  (list "monitoring.prometheusRule.labels" $monitoring.prometheusRule.labels)
  (list "monitoring.dashboard.label" (dict $monitoring.dashboard.label $monitoring.dashboard.labelValue)) -}}
{{- $at := index . 0 -}}
{{- range $name, $value := index . 1 -}}
{{- if not (and (regexMatch $key $name) (regexMatch "^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$" $value)) -}}
{{- fail (printf "%s has %q: %q, which is no label of Kubernetes: name and value have at most 63 letters, digits, - _ and ., with a letter or digit at both ends." $at $name $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list
  (list "commonAnnotations" $values.commonAnnotations)
  (list "dispatcher.podAnnotations" $values.dispatcher.podAnnotations)
  (list "retrier.podAnnotations" $values.retrier.podAnnotations)
  (list "service.annotations" $values.service.annotations)
  (list "serviceAccount.annotations" $values.serviceAccount.annotations)
  (list "monitoring.dashboard.folderAnnotation" (dict $monitoring.dashboard.folderAnnotation "")) -}}
{{- $at := index . 0 -}}
{{- range $name, $_ := index . 1 -}}
{{- if not (regexMatch $key (lower $name)) -}}
{{- fail (printf "%s has %q, which is no annotation of Kubernetes: a name has at most 63 letters, digits, - _ and ., with a letter or digit at both ends." $at $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headrace.refuse.additions" -}}
{{- range $key := list "nameOverride" "fullnameOverride" -}}
{{- $name := index $.Values $key -}}
{{- if and $name (not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" $name)) -}}
{{- fail (printf "%s is %q: objects are named by it, so use lower-case letters, digits and - only." $key $name) -}}
{{- end -}}
{{- end -}}
{{- $fullname := include "headrace.fullname" . -}}
{{- if not (regexMatch "^[a-z]" $fullname) -}}
{{- fail (printf "fullnameOverride is needed: the Services would be called %s-…, and their names must begin with a letter." $fullname) -}}
{{- end -}}
{{- range .Values.extraVolumes -}}
{{- if has .name (list "settings" "secrets" "kafka-ca" "tmp") -}}
{{- fail (printf "extraVolumes has a volume %q, which is one of the chart's own: give it another name." .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.topologySpread -}}
{{- if not (has .whenUnsatisfiable (list "ScheduleAnyway" "DoNotSchedule")) -}}
{{- fail (printf "topologySpread has whenUnsatisfiable %q: it must be ScheduleAnyway, a preference, or DoNotSchedule, a requirement." .whenUnsatisfiable) -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.topics.username .Values.topics.passwordSecret.name) (not (and .Values.topics.username .Values.topics.passwordSecret.name)) -}}
{{- fail "topics.username and topics.passwordSecret.name belong together: set both, or neither." -}}
{{- end -}}
{{- end -}}
