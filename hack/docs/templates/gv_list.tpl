{{- define "gvList" -}}
# API reference

The fields of all kinds, generated from the Go types by `make docs`. What they mean together, with examples and what to
do about each reason, is in [FirmwareUpgrade](firmwareupgrade.md) and [ResultSlice and ResultStore](storage.md).
`kubectl explain` shows the same.

{{ range . -}}
* [`{{ .GroupVersionString }}`](#{{ .GroupVersionString | lower | replace "." "" | replace "/" "" }})
{{- range $i, $kind := .SortedKinds }}{{ if $i }},{{ else }}:{{ end }} [{{ $kind }}](#{{ lower $kind }})
{{- end }}
{{ end -}}
{{ range . }}
{{ template "gvDetails" . }}
{{- end }}
{{- end -}}
