{{- define "muster.name" -}}
{{- if contains "muster" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-muster" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "muster.selector" -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: hub
{{- end }}

{{- define "muster.labels" -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "muster.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "muster.account" -}}
{{ .Values.serviceAccount.name | default (include "muster.name" .) }}
{{- end }}

{{- define "muster.models" -}}
{{ .Values.models.namespace.name | default (printf "%s-models" .Release.Name) }}
{{- end }}

{{/* A value of muster.toml: each is a text there, which spares numbers their exponents. */}}
{{- define "muster.text" -}}
{{- if kindIs "slice" . }}{{ join "," . | quote }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . | toString | quote }}
{{- else }}{{ toString . | quote }}{{ end }}
{{- end }}

{{/* The settings below a key, one a line, with dotted keys. */}}
{{- define "muster.toml" -}}
{{- $prefix := .prefix }}
{{- range $key, $value := .values }}
{{- if kindIs "map" $value }}
{{- include "muster.toml" (dict "prefix" (printf "%s%s." $prefix ($key | quote)) "values" $value) }}
{{- else if not (kindIs "invalid" $value) }}
{{ $prefix }}{{ $key | quote }} = {{ include "muster.text" $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* The template of all pods of models. */}}
{{- define "muster.podTemplate" -}}
{{- $spec := dict "serviceAccountName" (printf "%s-model" (include "muster.name" .)) }}
{{- with .Values.models.priorityClass.name }}{{- $_ := set $spec "priorityClassName" . }}{{- end }}
{{- with .Values.models.imagePullSecrets }}
{{- $secrets := list }}
{{- range . }}{{- $secrets = append $secrets (dict "name" .) }}{{- end }}
{{- $_ := set $spec "imagePullSecrets" $secrets }}
{{- end }}
{{- mergeOverwrite (dict "spec" $spec) (deepCopy .Values.models.podTemplate) | toYaml }}
{{- end }}

{{/* The cluster's DNS, and what is outside. */}}
{{- define "muster.egress" -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
      podSelector:
        matchLabels: {k8s-app: kube-dns}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- $egress := .Values.networkPolicy.models.egress }}
{{- with $egress.cidrs }}
- to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . | quote }}
        {{- with ternary $egress.exceptIPv6 $egress.except (contains ":" .) }}
        except: {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Where the hub's data and what it shares with others come from. */}}
{{- define "muster.env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: MUSTER_CONFIG
  value: /etc/muster/muster.toml
- name: MUSTER_DATA_DIR
  value: /var/lib/muster
- name: MUSTER_KUBERNETES_POD_TEMPLATE
  value: /etc/muster/pod.yaml
{{- with .Values.database.existingSecret }}
- name: MUSTER_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.Values.database.key }}}}
{{- end }}
{{- with .Values.mail.existingSecret }}
- name: MUSTER_MAIL_URL
  valueFrom: {secretKeyRef: {name: {{ . }}, key: {{ $.Values.mail.key }}}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "muster.envFrom" -}}
{{- with .Values.objects.existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "muster.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "muster.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "muster.mounts" -}}
- {name: config, mountPath: /etc/muster, readOnly: true}
- {name: data, mountPath: /var/lib/muster}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "muster.volumes" -}}
- name: config
  configMap: {name: {{ include "muster.name" . }}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmpSize }}}
{{- end }}

{{/* Where the hub answers for certain hosts only, its probes name one of them. */}}
{{- define "muster.probe" -}}
path: {{ .path }}
port: http
{{- with .values.config.allowed_hosts }}
httpHeaders:
  - {name: Host, value: {{ ternary (first .) (splitList "," (toString .) | first) (kindIs "slice" .) }}}
{{- end }}
{{- end }}
