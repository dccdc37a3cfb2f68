{{- define "honeyguide.labels" -}}
app.kubernetes.io/name: honeyguide
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "honeyguide.selector" -}}
app.kubernetes.io/name: honeyguide
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Names of objects without a namespace would be the same in two releases. */}}
{{- define "honeyguide.clusterName" -}}
{{ if eq .Release.Name "honeyguide" }}honeyguide{{ else }}honeyguide-{{ .Release.Namespace }}-{{ .Release.Name }}{{ end }}
{{- end }}

{{- define "honeyguide.runtimeFolder" -}}
{{ get (dict "containerd" "/run/containerd/io.containerd.runtime.v2.task" "cri-o" "/run/containers/storage" "docker" "/var/lib/docker/containers") .Values.containerRuntime }}
{{- end }}

{{- /* Numbers of values.yaml are floats: 1000000 would be written as 1e+06. */}}
{{- define "honeyguide.setting" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}
{{- else }}{{ . }}{{ end -}}
{{- end }}
