{{/* Where the certificate of a holder (an entity or "operator") comes from: a volume named certificates. Takes root and holder. */}}
{{- define "crossband.certificateVolume" -}}
{{- if eq .root.Values.certificates.source "spire" -}}
- name: certificates
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: spiffe-workload-api
  csi: {driver: {{ .root.Values.certificates.spire.csiDriver }}, readOnly: true}
- name: spiffe-helper
  configMap:
    name: {{ include "crossband.fullname" .root }}-spiffe-helper
    items: [{key: {{ .holder }}.conf, path: helper.conf}]
{{- else -}}
- name: certificates
  secret:
    secretName: {{ include "crossband.certificateSecret" . }}
    defaultMode: 0440
    items:
      - {key: tls.crt, path: {{ .holder }}.pem}
      - {key: tls.key, path: {{ .holder }}-key.pem}
      - {key: ca.crt, path: trust-bundle.pem}
{{- end -}}
{{- end -}}

{{/* The program that fetches certificates from SPIRE; once before the service starts, then for as long as it runs. */}}
{{- define "crossband.spiffeHelper" -}}
image: {{ .root.Values.certificates.spire.helperImage }}
imagePullPolicy: IfNotPresent
args: [-config, /etc/spiffe-helper/helper.conf, -daemon-mode={{ .daemon }}]
securityContext: {{- include "crossband.containerSecurity" . | nindent 2 }}
resources:
  requests: {cpu: 5m, memory: 16Mi}
  limits: {memory: 64Mi}
volumeMounts:
  - {name: spiffe-workload-api, mountPath: /spiffe-workload-api, readOnly: true}
  - {name: spiffe-helper, mountPath: /etc/spiffe-helper, readOnly: true}
  - {name: certificates, mountPath: /etc/crossband/certificates}
{{- end -}}

{{/*
Replicas over nodes and zones. Zones are only preferred: nodes come in few of them, and a cluster with one, or with none that has
room, would otherwise leave replicas unscheduled. Takes root, component and service.
*/}}
{{- define "crossband.topologySpread" -}}
{{- if .service.topologySpread.enabled }}
topologySpreadConstraints:
{{- $context := . }}
{{- range $key, $whenUnsatisfiable := dict "kubernetes.io/hostname" .service.topologySpread.whenUnsatisfiable "topology.kubernetes.io/zone" "ScheduleAnyway" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "crossband.selectorLabels" $context | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A container that runs `crossband admin`. Takes root and args. */}}
{{- define "crossband.adminContainer" -}}
image: {{ include "crossband.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ concat (list "admin" "--config=/etc/crossband/crossband.toml" "--output=json") .args | toJson }}
resources:
  requests: {cpu: 10m, memory: 32Mi}
  limits: {memory: 128Mi}
securityContext: {{- include "crossband.containerSecurity" .root | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/crossband/crossband.toml, subPath: crossband.toml, readOnly: true}
  - {name: certificates, mountPath: /etc/crossband/certificates, readOnly: true}
{{- end -}}

{{/* A container that is a UE, whose state is in the volume ue. Takes root and command. */}}
{{- define "crossband.ueContainer" -}}
image: {{ include "crossband.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ list "ue" .command (printf "--user=%s" .root.Values.tests.user) "--ready-file=/ready/ready.json" "--state=/ue/state.json" | toJson }}
resources:
  requests: {cpu: 10m, memory: 32Mi}
  limits: {memory: 128Mi}
securityContext: {{- include "crossband.containerSecurity" .root | nindent 2 }}
volumeMounts:
  - {name: ready, mountPath: /ready, readOnly: true}
  - {name: certificates, mountPath: /etc/crossband/certificates, readOnly: true}
  - {name: ue, mountPath: /ue}
{{- end -}}
