{{- define "gvDetails" -}}
## {{ .GroupVersionString }}

{{ .Doc | trim }}
{{ range .SortedTypes }}
{{- if markdownShouldRenderType . }}
{{ template "type" . }}
{{- end }}
{{- end }}
{{- end -}}
