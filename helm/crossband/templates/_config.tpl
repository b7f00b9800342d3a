{{/* One TOML value. Helm's own toToml writes every number as a float, which settings that count would refuse. */}}
{{- define "crossband.toml.value" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else if kindIs "slice" . -}}
[{{- range $index, $item := . -}}{{- if $index -}}, {{ end -}}{{- include "crossband.toml.value" $item -}}{{- end -}}]
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}

{{/* A TOML table and those below it. Takes path and table. */}}
{{- define "crossband.toml.table" -}}
{{- $path := .path -}}
{{- range $key, $value := .table }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "crossband.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $below := $key }}
{{- if $path }}{{- $below = printf "%s.%s" $path $key }}{{- end }}

[{{ $below }}]
{{- include "crossband.toml.table" (dict "path" $below "table" $value) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The section server, as JSON: how long pods take to end hangs on it too. */}}
{{- define "crossband.server" -}}
{{- mergeOverwrite (dict "announce_duration" "5s" "drain_timeout" "20s") (deepCopy (default dict .Values.settings.server)) | toJson -}}
{{- end -}}

{{/* crossband.toml: one for every service; each uses the sections that concern it, and refuses a mistake in any. */}}
{{- define "crossband.toml" -}}
{{- $fullname := include "crossband.fullname" . -}}
{{- $services := include "crossband.services" . | fromJson -}}
{{- $config := dict
  "mc_system_id" .Values.mcSystemId
  "certificates" (dict "directory" "/etc/crossband/certificates")
  "database" (dict "url_file" "/etc/crossband/database/url")
  "cache" (dict "url_file" "/etc/crossband/cache/url")
  "server" (include "crossband.server" . | fromJson)
  "telemetry" (dict "log_format" "json")
  "sip_database" (dict "key_file" "/etc/crossband/keys/key-encryption-keys.toml")
-}}
{{- $endpoints := dict -}}
{{- range $entity, $_ := $services -}}
{{- $_ := set $endpoints ($entity | replace "-" "_") (dict "addresses" (list (printf "%s-%s:7000" $fullname $entity))) -}}
{{- $_ := set (index $endpoints ($entity | replace "-" "_")) "identity" $entity -}}
{{- end -}}
{{- $_ := set $config "endpoints" $endpoints -}}
{{- if .Values.jaeger.enabled -}}
{{- $_ := set $config.telemetry "otlp_endpoint" (printf "http://%s-jaeger:4317" $fullname) -}}
{{- end -}}
{{- $visitors := default (printf "visitors.%s" .Values.mcSystemId) .Values.sip.visitorRealm -}}
{{- $sip := dict "realm" (default .Values.mcSystemId .Values.sip.realm) "udp_address" "0.0.0.0:5060" "tcp_address" "0.0.0.0:5060" "tls_address" "0.0.0.0:5061" -}}
{{- if ne $visitors "-" -}}{{- $_ := set $sip "visitor_realm" $visitors -}}{{- end -}}
{{- $_ := set $config "sip_core" $sip -}}
{{- $port := int (dig "identity-management" "expose" "https" "port" 443 $services) -}}
{{- $own := printf "https://%s-identity-management-https.%s.svc%s" $fullname .Release.Namespace (ternary "" (printf ":%d" $port) (eq $port 443)) -}}
{{- $issuer := default $own .Values.identity.issuer -}}
{{- $_ := set $config "identity_management" (dict "https_address" "0.0.0.0:8443" "issuer" $issuer "key_file" "/etc/crossband/keys/key-encryption-keys.toml") -}}
{{- $config = mergeOverwrite $config (deepCopy .Values.settings) -}}
# Written by the chart; see docs/configuration.md.
{{- include "crossband.toml.table" (dict "path" "" "table" $config) }}
{{ end -}}
