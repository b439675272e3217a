{{/* What the names of all objects begin with. */}}
{{- define "migrate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if not .Values.nameOverride -}}
migrate
{{- else if contains .Values.nameOverride .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Whether the cluster is older than a version, as a text that is empty where it is not: (dict "root" . "version" "1.30.0") */}}
{{- define "migrate.before" -}}
{{- if semverCompare (printf "<%s-0" .version) .root.Capabilities.KubeVersion.Version }}true{{ end }}
{{- end }}

{{- define "migrate.labels" -}}
app.kubernetes.io/part-of: mesh-migrate
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "migrate.image" -}}
{{ .root.Values.images.registry }}/{{ .name }}:{{ .root.Values.images.tag | default .root.Chart.AppVersion }}
{{- with get .root.Values.images.digests .name }}@{{ . }}{{ end }}
{{- end }}

{{/* The user that the controller is to this cluster's API server. */}}
{{- define "migrate.user" -}}
{{- if and (eq .Values.role "prober") .Values.remote.user -}}
{{ .Values.remote.user }}
{{- else -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "migrate.fullname" . }}-controller
{{- end }}
{{- end }}

{{/* That user as the subject of a binding. */}}
{{- define "migrate.subject" -}}
{{- if and (eq .Values.role "prober") .Values.remote.user -}}
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: {{ .Values.remote.user | quote }}
{{- else -}}
- kind: ServiceAccount
  name: {{ include "migrate.fullname" . }}-controller
  namespace: {{ .Release.Namespace }}
{{- end }}
{{- end }}

{{/* A workload's identity in the mesh: (dict "account" ... "namespace" ... "root" .) */}}
{{- define "migrate.identity" -}}
{{ .account }}.{{ .namespace }}.serviceaccount.identity.linkerd.{{ .root.Values.trustDomain }}
{{- end }}

{{/* What every Pod of ours has: nothing of root, nothing to write, no service links. */}}
{{- define "migrate.podSecurity" -}}
enableServiceLinks: false
terminationGracePeriodSeconds: 15
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "migrate.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a program's Pods run, and what the values add to them: (dict "root" . "name" ... "values" ...) */}}
{{- define "migrate.pod" -}}
{{- include "migrate.spread" . }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "migrate.pullSecrets" .root }}
{{- end }}

{{- define "migrate.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The labels of a program's Pods, ours last: they are what Services and policies select by. */}}
{{- define "migrate.podLabels" -}}
{{- $ours := fromYaml (include "migrate.labels" .root) }}
{{- $_ := set $ours "app.kubernetes.io/name" .name }}
{{- range $label, $_ := .values.podLabels }}
{{- if hasKey $ours $label }}
{{- fail (printf "%s.podLabels.%s: the chart writes this label itself, and selects Pods by it" $.program $label) }}
{{- end }}
{{- end }}
app.kubernetes.io/name: {{ .name }}
{{ include "migrate.labels" .root }}
{{- with .values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Replicas on different nodes and zones, as far as there are some. */}}
{{- define "migrate.spread" -}}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app.kubernetes.io/name: {{ $.name }}}
{{- end }}
{{- end }}

{{/* A cluster's Prometheus, as the controller's settings have it. */}}
{{- define "migrate.prometheus" -}}
{{- if .prometheus.url -}}
{{- if not (regexMatch "^https?://[^\\s/?#@]+(/[^\\s?#]*)?$" .prometheus.url) }}
{{- /* Not the schema's: it would quote the URL. */}}
{{- fail (printf "the prometheus.url of %s is no http(s):// URL, or has a user, a password or a query in it: name the Secret with username and password in basicAuthSecret" .name) }}
{{- end }}
{{- $folder := printf "/etc/migrate/prometheus-%s" .name -}}
prometheus:
  url: {{ .prometheus.url | quote }}
  {{- with .prometheus.matchers }}
  matchers: {{ toJson . }}
  {{- end }}
  {{- with .prometheus.tenant }}
  tenant: {{ . | quote }}
  {{- end }}
  {{- if .prometheus.headersSecret }}
  headers_file: {{ $folder }}/headers
  {{- end }}
  {{- if .prometheus.tokenSecret }}
  token_file: {{ $folder }}/token
  {{- end }}
  {{- if .prometheus.basicAuthSecret }}
  username_file: {{ $folder }}/username
  password_file: {{ $folder }}/password
  {{- end }}
  {{- if .prometheus.clientCertSecret }}
  cert_file: {{ $folder }}/tls.crt
  key_file: {{ $folder }}/tls.key
  {{- end }}
  {{- if .prometheus.caSecret }}
  ca_file: {{ $folder }}/ca.crt
  {{- end }}
{{- end }}
{{- end }}

{{/* The Secrets of a cluster's Prometheus, as sources of a projected volume; empty where there are none. */}}
{{- define "migrate.prometheusSecrets" -}}
{{- $keys := dict "headersSecret" (list "headers") "tokenSecret" (list "token") "basicAuthSecret" (list "username" "password") "clientCertSecret" (list "tls.crt" "tls.key") "caSecret" (list "ca.crt") }}
{{- range $value := list "headersSecret" "tokenSecret" "basicAuthSecret" "clientCertSecret" "caSecret" }}
{{- with get $.prometheus $value }}
- secret:
    name: {{ . }}
    items:
      {{- range get $keys $value }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
