{{- /* The image, by its digest if there is one. */}}
{{- define "fwupgrade.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Labels of an object of a component. Helm adds its own when it installs. */}}
{{- define "fwupgrade.labels" -}}
app.kubernetes.io/component: {{ . }}
app.kubernetes.io/name: fwupgrade
app.kubernetes.io/part-of: fwupgrade
{{- end }}

{{- /* By these labels Deployments, Services and policies find the pods of a component. */}}
{{- define "fwupgrade.selector" -}}
app.kubernetes.io/component: {{ . }}
app.kubernetes.io/name: fwupgrade
{{- end }}

{{- /* What both containers run as, and how they reach the API server. */}}
{{- define "fwupgrade.container" -}}
image: {{ include "fwupgrade.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop:
    - ALL
  readOnlyRootFilesystem: true
{{- end }}

{{- define "fwupgrade.env" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
# A dead API server connection is noticed in 5 s; left alone, the HTTP/2 client needs 45 s.
- name: HTTP2_READ_IDLE_TIMEOUT_SECONDS
  value: "3"
- name: HTTP2_PING_TIMEOUT_SECONDS
  value: "2"
{{- end }}

{{- /* With user and group, because some runtimes drop the group of an image's user. */}}
{{- define "fwupgrade.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsGroup: {{ int64 . }}
runAsUser: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* The file that maps applications to namespaces. */}}
{{- define "fwupgrade.applications" -}}
{{- dict "applications" .Values.applications | toYaml }}
{{- end }}

{{- /* Pods are rolled out when the applications change, as the file is read at their start. */}}
{{- define "fwupgrade.podAnnotations" -}}
kubectl.kubernetes.io/default-container: manager
{{- if .root.Values.applications }}
fwupgrade.io/applications-checksum: {{ include "fwupgrade.applications" .root | sha256sum | quote }}
{{- end }}
{{- with .own }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The replicas; none are named where they are null, for an autoscaler. */}}
{{- define "fwupgrade.replicas" -}}
{{- if not (kindIs "invalid" .replicas) -}}
replicas: {{ int64 .replicas }}
{{- end }}
{{- end }}

{{- /* Where the pods run. */}}
{{- define "fwupgrade.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* The path of the callback, without a secret. */}}
{{- define "fwupgrade.callbackPath" -}}
{{ default "/v1.0.0/messageReceiver" .Values.callback.path }}
{{- end }}

{{- /* The flags of the metrics, where they are served by HTTPS. */}}
{{- define "fwupgrade.metricsArgs" -}}
{{- if .Values.metrics.secure -}}
- --metrics-secure
{{- if .Values.metrics.secretName }}
- --metrics-cert-dir=/etc/fwupgrade/metrics-tls
{{- end }}
{{- end }}
{{- end }}
