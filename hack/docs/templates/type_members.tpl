{{- define "type_members" -}}
{{- if eq .Name "metadata" -}}
As of every object of Kubernetes.
{{- else -}}
{{ markdownRenderFieldDoc .Doc | replace "<br />" " " }}
{{- end -}}
{{- end -}}

{{- /* Rules in CEL are left out: their messages are sentences for who breaks them, not a reference. */ -}}
{{- define "bounds" -}}
{{- $bounds := list -}}
{{- range .Validation -}}
{{- if hasPrefix "Required" . -}}
{{- $bounds = append $bounds "required" -}}
{{- else if not (or (contains "XValidation" .) (contains "XIntOrString" .) (hasPrefix "Optional" .)) -}}
{{- $bounds = append $bounds (replace ": " ":" . | replace ":" ": " | replace "1e+07" "10000000" | replace "3.1536e+07" "31536000" |
  replace "3.1536e+08" "315360000" | trim) -}}
{{- end -}}
{{- end -}}
{{- with $bounds }}{{ join ", " . }} {{ end -}}
{{- end -}}
