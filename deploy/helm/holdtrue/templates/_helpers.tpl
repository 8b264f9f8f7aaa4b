{{- define "holdtrue.name" -}}
{{- if contains "holdtrue" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-holdtrue" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "holdtrue.selector" -}}
app.kubernetes.io/name: holdtrue
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "holdtrue.labels" -}}
{{ include "holdtrue.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "holdtrue.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "holdtrue.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ .scheme }}
  httpHeaders:
    - { name: Host, value: localhost }
{{- end -}}

{{/* What cannot be served so is refused before it reaches the cluster. */}}
{{- define "holdtrue.check" -}}
{{- if eq (not .Values.tls.secret) (not .Values.mesh.insecure) -}}
{{- fail "Name a certificate (tls.secret), or say that a mesh encrypts and knows the callers (mesh.insecure=true): one of the two." -}}
{{- end -}}
{{- if and .Values.tls.clientCaKey (not .Values.monitor.tlsConfig) .Values.monitor.enabled -}}
{{- fail "Clients must show a certificate (tls.clientCaKey), so Prometheus needs one too: give monitor.tlsConfig." -}}
{{- end -}}
{{- if and (not .Values.trusted.keys) (not .Values.trusted.configMap) -}}
{{- fail "No key is trusted, so no release would be accepted: give trusted.keys or trusted.configMap." -}}
{{- end -}}
{{- if and .Values.release.claimPath (not .Values.release.claim) -}}
{{- fail "release.claimPath is a folder in a claim: name it with release.claim." -}}
{{- end -}}
{{- if and .Values.receipts.enabled (eq .Values.receipts.accessMode "ReadWriteOnce") (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail "A ReadWriteOnce claim cannot hold the receipts of several replicas: use ReadWriteMany, or replicas=1 without autoscaling." -}}
{{- end -}}
{{- if le (int .Values.drain.graceSeconds) (add (int .Values.drain.preStopSeconds) 35) -}}
{{- fail "drain.graceSeconds must be longer than drain.preStopSeconds and the 35 s the server takes to end." -}}
{{- end -}}
{{- end -}}
