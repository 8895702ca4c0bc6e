{{- define "comfyard.fullname" -}}
{{- if contains "comfyard" .Release.Name }}{{ .Release.Name | trunc 53 }}{{ else }}{{ printf "%s-comfyard" .Release.Name | trunc 53 }}{{ end }}
{{- end }}

{{- define "comfyard.selector" -}}
app.kubernetes.io/name: comfyard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "comfyard.labels" -}}
{{ include "comfyard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "comfyard.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}
