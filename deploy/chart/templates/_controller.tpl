{{/* What the controller reads, mounted: for its Deployment, and for the Pod of helm test. */}}
{{- define "migrate.controllerMounts" -}}
- {name: settings, mountPath: /etc/migrate/settings, readOnly: true}
- {name: peer, mountPath: /etc/migrate/peer, readOnly: true}
- {name: prober-token, mountPath: /etc/migrate/prober, readOnly: true}
{{- if .Values.peer.access.token }}
- {name: peer-token, mountPath: /var/run/secrets/migrate, readOnly: true}
{{- end }}
{{- range list .Values.cluster .Values.peer }}
{{- if include "migrate.prometheusSecrets" . }}
- {name: prometheus-{{ .name }}, mountPath: /etc/migrate/prometheus-{{ .name }}, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.notifications.secret }}
- {name: notifications, mountPath: /etc/migrate/notifications, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- with .Values.controller.extraVolumeMounts }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{- define "migrate.controllerVolumes" -}}
- name: settings
  configMap: {name: {{ include "migrate.fullname" . }}-controller}
- name: peer
  {{- if .Values.peer.access.kubeconfigSecret }}
  secret: {secretName: {{ .Values.peer.access.kubeconfigSecret }}}
  {{- else }}
  configMap: {name: {{ include "migrate.fullname" . }}-controller-peer}
  {{- end }}
- name: prober-token
  secret: {secretName: {{ .Values.prober.tokenSecret }}}
{{- if .Values.peer.access.token }}
- name: peer-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .Values.peer.access.token.audience }}
          expirationSeconds: 3600
          path: token
{{- end }}
{{- range $cluster := list .Values.cluster .Values.peer }}
{{- with include "migrate.prometheusSecrets" . }}
- name: prometheus-{{ $cluster.name }}
  projected:
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- end }}
{{- with .Values.notifications.secret }}
# Optional: a Secret that is missing keeps nobody from moving, and is taken up when it comes.
- name: notifications
  secret: {secretName: {{ . }}, optional: true}
{{- end }}
# Certificates of a kubeconfig are handed to OpenSSL as files.
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- with .Values.controller.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
