{{- define "cxrd.labels" -}}
app.kubernetes.io/name: cxrd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "cxrd.selector" -}}
app.kubernetes.io/name: cxrd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cxrd.claim" -}}
{{ .Values.payload.claim | default (printf "%s-payload" .Release.Name) }}
{{- end }}

{{- /* Environment of every container: secrets and what the cluster decides; wins over the configuration file. */}}
{{- define "cxrd.environment" -}}
- {name: CXRD_WEB__BIND, value: "0.0.0.0"}
- {name: CXRD_WEB__PORT, value: "8080"}
- {name: CXRD_DICOM__PORT, value: "11112"}
{{- if .Values.service.tlsPort }}
- {name: CXRD_DICOM__TLS__PORT, value: "2762"}
- {name: CXRD_DICOM__TLS__ONLY, value: {{ not .Values.service.port | quote }}}
{{- end }}
{{- with .Values.timezone }}
- {name: TZ, value: {{ . | quote }}}
{{- end }}
- name: CXRD_DATABASE__URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: url}}
- {name: CXRD_STORAGE__DIR, value: /var/lib/cxrd/payload}
{{- with .Values.payload.s3 }}
- {name: CXRD_STORAGE__S3, value: {{ . | quote }}}
{{- end }}
{{- with .Values.payload.s3Endpoint }}
- {name: CXRD_STORAGE__S3_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- if .Values.models.claim }}
- {name: CXRD_MODELS__DIR, value: /srv/models}
{{- end }}
{{- end }}

{{- define "cxrd.mounts" -}}
- {name: config, mountPath: /etc/cxrd/cxrd.toml, subPath: cxrd.toml, readOnly: true}
- {name: payload, mountPath: /var/lib/cxrd/payload}
- {name: temporary, mountPath: /tmp}
{{- if .Values.filesSecret }}
- {name: files, mountPath: /etc/cxrd/files, readOnly: true}
{{- end }}
{{- if .Values.database.caSecret }}
- {name: database-ca, mountPath: /etc/cxrd/database, readOnly: true}
{{- end }}
{{- if .Values.models.claim }}
- {name: models, mountPath: /srv/models, readOnly: true}
{{- end }}
{{- end }}

{{- define "cxrd.volumes" -}}
- name: config
  configMap: {name: {{ .Release.Name }}-config}
- name: payload
{{- if .Values.payload.s3 }}
  emptyDir: {}
{{- else }}
  persistentVolumeClaim: {claimName: {{ include "cxrd.claim" . }}}
{{- end }}
- name: temporary
  emptyDir: {}
{{- with .Values.filesSecret }}
- name: files
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.database.caSecret }}
- name: database-ca
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.models.claim }}
- name: models
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "cxrd.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
