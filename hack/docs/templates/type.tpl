{{- define "type" -}}
### {{ .Name }}

{{ .Doc | trim }}
{{- if .IsAlias }}

It is a {{ markdownRenderTypeLink .UnderlyingType }}.
{{- end }}
{{- if .References }}

Used in{{ range $i, $r := .SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $r }}{{ end }}.
{{- end }}
{{ if .Members }}
| field | type | meaning | default | bounds |
|---|---|---|---|---|
{{ if .GVK -}}
| `apiVersion` | string | `{{ .GVK.Group }}/{{ .GVK.Version }}` | | |
| `kind` | string | `{{ .GVK.Kind }}` | | |
{{ end -}}
{{ range .Members -}}
| `{{ .Name }}` | {{ if eq .Name "rawBody" }}string, base64{{ else }}{{ markdownRenderType .Type }}{{ end }} | {{ template "type_members" . }} | {{ with .Default }}`{{ . }}` {{ end }}| {{ template "bounds" . }}|
{{ end -}}
{{- end -}}
{{- if .EnumValues }}
| value | meaning |
|---|---|
{{ range .EnumValues -}}
| `{{ .Name }}` | {{ .Doc | regexFind " [\\s\\S]*" | markdownRenderFieldDoc | replace "<br />" " " | trim }} |
{{ end -}}
{{- end -}}
{{- end -}}
