{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{- define "strobe.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "strobe.agent" -}}{{ include "strobe.fullname" . }}-agent{{- end }}
{{- define "strobe.collectionagent" -}}{{ include "strobe.fullname" . }}-collectionagent{{- end }}

{{/* Labels by which a component is selected. They never change: selectors cannot. */}}
{{- define "strobe.selector" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "strobe.labels" -}}
{{ include "strobe.selector" . }}
app.kubernetes.io/part-of: strobe
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "strobe.image" -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ $tag }}
{{- end -}}
{{- end }}

{{/* Names under which the collection agent is reached in the cluster. */}}
{{- define "strobe.names" -}}
{{- $name := include "strobe.collectionagent" . -}}
{{- $names := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) -}}
{{- concat $names .Values.tls.names | join "," -}}
{{- end }}

{{/* A limit of memory that is not set by hand. */}}
{{- define "strobe.resources" -}}
{{- $limits := dict "limits" (dict "memory" .memory) -}}
{{- toYaml (mergeOverwrite $limits (deepCopy .resources)) -}}
{{- end }}

{{/* What was set so that it cannot work ends here, with what to do. */}}
{{- define "strobe.check" -}}
{{- $c := .Values.collectionagent -}}
{{- if and $c.enabled (eq $c.store "embedded") (gt (int $c.replicas) 1) -}}
{{- fail "collectionagent.replicas: the embedded store is of one collection agent; set collectionagent.store to clickhouse, or replicas to 1" -}}
{{- end -}}
{{- if and $c.enabled (eq $c.store "embedded") $c.autoscaling.enabled -}}
{{- fail "collectionagent.autoscaling.enabled: the embedded store is of one collection agent; set collectionagent.store to clickhouse" -}}
{{- end -}}
{{- if and $c.enabled (eq $c.store "clickhouse") (eq .Values.tls.mode "self") -}}
{{- fail "tls.mode: with ClickHouse the collection agents keep no authority of their own; set it to certManager or secret" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "certManager") (not .Values.tls.issuerRef.name) -}}
{{- fail "tls.issuerRef.name: is needed with tls.mode certManager" -}}
{{- end -}}
{{- if and .Values.agent.enabled (not $c.enabled) (not .Values.agent.collectionAgent) -}}
{{- fail "agent.collectionAgent: say where to send, as there is no collection agent in this release" -}}
{{- end -}}
{{- if and .Values.tls.clientCA .Values.agent.enabled (not .Values.agent.clientCertificate) -}}
{{- fail "agent.clientCertificate: is needed with tls.clientCA" -}}
{{- end -}}
{{- if and .Values.tls.clientCA (eq .Values.tls.mode "off") -}}
{{- fail "tls.clientCA: needs TLS; set tls.mode" -}}
{{- end -}}
{{- end }}

{{/* Settings of the agent, before those of the user. */}}
{{- define "strobe.agent.settings" -}}
collection-agent: {{ default (printf "%s.%s.svc:11000" (include "strobe.collectionagent" .) .Release.Namespace) .Values.agent.collectionAgent | quote }}
{{- if eq .Values.tls.mode "off" }}
disable-tls: true
{{- else }}
tls-ca: /etc/strobe/ca/ca.pem
{{- end }}
{{- if .Values.agent.clientCertificate }}
tls-cert: /etc/strobe/client/tls.crt
tls-key: /etc/strobe/client/tls.key
{{- end }}
{{- if .Values.agent.tokenSecret }}
token-file: /etc/strobe/token/token
{{- end }}
samples-per-second: {{ .Values.agent.samplesPerSecond }}
memory-limit: {{ .Values.agent.memoryMiB }}MiB
spool-dir: /var/lib/strobe/agent/spool
spool-bytes: {{ .Values.agent.spool.sizeMiB }}MiB
http-address: 0.0.0.0:7071
{{- if .Values.agent.kubelet.enabled }}
{{- if .Values.agent.kubelet.skipVerify }}
kubelet-skip-verify: true
{{- end }}
{{- else }}
kubelet: "off"
{{- end }}
container-sockets: {{ default "off" .Values.agent.runtimeSocket | quote }}
{{- end }}

{{/* Settings of the collection agent, before those of the user. */}}
{{- define "strobe.collectionagent.settings" -}}
data-dir: /data/strobe
http-address: 0.0.0.0:7070
grpc-address: 0.0.0.0:11000
auth: required
{{- if eq .Values.tls.mode "off" }}
insecure: true
{{- else if eq .Values.tls.mode "self" }}
tls-names: {{ include "strobe.names" . | quote }}
{{- else }}
tls-cert: /etc/strobe/tls/tls.crt
tls-key: /etc/strobe/tls/tls.key
{{- end }}
{{- if .Values.tls.clientCA }}
tls-client-ca: /etc/strobe/client-ca/ca.pem
# Probes of the kubelet have no certificate, and neither have browsers.
tls-client-auth: grpc
{{- end }}
memory: {{ .Values.collectionagent.memoryMiB }}MiB
retention: {{ .Values.collectionagent.retention }}
retention-minutes: {{ .Values.collectionagent.retentionMinutes }}
retention-hours: {{ .Values.collectionagent.retentionHours }}
{{- if eq .Values.collectionagent.store "clickhouse" }}
store: clickhouse
clickhouse-dsn-file: /etc/strobe/clickhouse/dsn
{{- with .Values.collectionagent.clickhouse.cluster }}
clickhouse-cluster: {{ . | quote }}
{{- end }}
{{- if .Values.collectionagent.clickhouse.caConfigMap }}
clickhouse-ca: /etc/strobe/clickhouse-ca/ca.pem
{{- end }}
auth-file: /etc/strobe/auth/auth.json
{{- end }}
{{- end }}

{{/* A file of settings: the chart's, with the user's over them. */}}
{{- define "strobe.settings" -}}
{{- toYaml (merge (deepCopy .config) (fromYaml .settings)) -}}
{{- end }}
