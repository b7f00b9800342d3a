{{/* The prefix of all names: the release, with the chart unless the release says it already. */}}
{{- define "crossband.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "crossband.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: crossband
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What pods of a component are found by; they never change. Takes (dict "root" $ "component" name). */}}
{{- define "crossband.selectorLabels" -}}
app.kubernetes.io/name: {{ default "crossband" .root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "crossband.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "crossband.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The services that run, as JSON: a map from entity to its values over the defaults. */}}
{{- define "crossband.services" -}}
{{- $services := dict -}}
{{- range $entity, $values := .Values.services -}}
{{- $merged := mergeOverwrite (deepCopy $.Values.serviceDefaults) (deepCopy (default dict $values)) -}}
{{- if $merged.enabled -}}{{- $_ := set $services $entity $merged -}}{{- end -}}
{{- end -}}
{{- toJson $services -}}
{{- end -}}

{{/* Which listeners an entity has beside grpc and admin: what the program opens, not a choice. */}}
{{- define "crossband.listeners" -}}
migration-management: [peer]
sip-database: []
sip-core: [sip]
identity-management: [https]
configuration-management: [peer, client]
group-management: [peer, client]
functional-alias-management: [client]
mc-service: [peer, client]
{{- end -}}

{{/* Entities that seal what they store under keys of a key file. */}}
{{- define "crossband.hasKeyFile" -}}
{{- if has . (list "sip-database" "identity-management") -}}true{{- end -}}
{{- end -}}

{{- define "crossband.keyFileSecret" -}}
{{- default (printf "%s-keys-%s" (include "crossband.fullname" .root) .entity) .service.keyFile.existingSecret -}}
{{- end -}}

{{- define "crossband.certificateSecret" -}}
{{- printf "%s-certificate-%s" (include "crossband.fullname" .root) .holder -}}
{{- end -}}

{{- define "crossband.databaseSecret" -}}
{{- default (printf "%s-postgres" (include "crossband.fullname" .)) .Values.database.existingSecret -}}
{{- end -}}
{{- define "crossband.cacheSecret" -}}
{{- default (printf "%s-redis" (include "crossband.fullname" .)) .Values.cache.existingSecret -}}
{{- end -}}

{{/* What the restricted Pod Security Standard asks of pods and of containers. */}}
{{- define "crossband.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "crossband.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Names that listeners' certificates hold, as JSON: those of every Service, for grpcurl, browsers and UEs. */}}
{{- define "crossband.hosts" -}}
{{- $hosts := list "localhost" -}}
{{- $fullname := include "crossband.fullname" . -}}
{{- range $entity, $service := include "crossband.services" . | fromJson -}}
{{- $names := list (printf "%s-%s" $fullname $entity) -}}
{{- range $listener, $_ := $service.expose -}}{{- $names = append $names (printf "%s-%s-%s" $fullname $entity $listener) -}}{{- end -}}
{{- range $name := $names -}}
{{- $hosts = concat $hosts (list $name (printf "%s.%s" $name $.Release.Namespace) (printf "%s.%s.svc" $name $.Release.Namespace) (printf "%s.%s.svc.cluster.local" $name $.Release.Namespace)) -}}
{{- end -}}
{{- end -}}
{{- toJson (concat $hosts .Values.certificates.hosts) -}}
{{- end -}}

{{/* The version of a kind's API on this cluster. Helm without a cluster knows every version, so its age is looked at too. */}}
{{- define "crossband.apiVersion.podDisruptionBudget" -}}
{{- if and (.Capabilities.APIVersions.Has "policy/v1") (semverCompare ">=1.21-0" .Capabilities.KubeVersion.Version) -}}policy/v1{{- else -}}policy/v1beta1{{- end -}}
{{- end -}}
{{- define "crossband.apiVersion.cronJob" -}}
{{- if and (.Capabilities.APIVersions.Has "batch/v1") (semverCompare ">=1.21-0" .Capabilities.KubeVersion.Version) -}}batch/v1{{- else -}}batch/v1beta1{{- end -}}
{{- end -}}
{{- define "crossband.apiVersion.horizontalPodAutoscaler" -}}
{{- if and (.Capabilities.APIVersions.Has "autoscaling/v2") (semverCompare ">=1.23-0" .Capabilities.KubeVersion.Version) -}}autoscaling/v2{{- else -}}autoscaling/v2beta2{{- end -}}
{{- end -}}

{{/* A secret word that upgrades keep: the one given, the one in the cluster, or a fresh one. Takes root, secret, key, given. */}}
{{- define "crossband.keptPassword" -}}
{{- $present := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if .given -}}
{{- .given -}}
{{- else if and $present (hasKey (default dict $present.data) .key) -}}
{{- index $present.data .key | b64dec -}}
{{- else -}}
{{- randAlphaNum 32 -}}
{{- end -}}
{{- end -}}

{{/*
Rolls Redis and the services when another password of Redis is given. Short, because annotations are read by more people than Secrets:
it says that the password has changed, and not surely which one it is.
*/}}
{{- define "crossband.redisChecksum" -}}
{{- if and .Values.redis.enabled .Values.redis.password -}}
checksum/redis-password: {{ printf "%s/%s %s" .Release.Namespace .Release.Name .Values.redis.password | sha256sum | trunc 4 | quote }}
{{- end -}}
{{- end -}}

{{/* How many seconds a duration such as 1m30s has. One that is not written so counts nothing; the program knows more ways. */}}
{{- define "crossband.seconds" -}}
{{- $epoch := toDate "2006-01-02" "2000-01-01" -}}
{{- sub (dateModify (printf "+%s" .) $epoch | unixEpoch) ($epoch | unixEpoch) -}}
{{- end -}}

{{/* What is wrong with the values, all at once. */}}
{{- define "crossband.checkValues" -}}
{{- $problems := list -}}
{{- if not .Values.mcSystemId -}}{{- $problems = append $problems "mcSystemId is required, such as alpha.example" -}}{{- end -}}
{{- if and (not .Values.postgres.enabled) (not .Values.database.existingSecret) -}}{{- $problems = append $problems "database.existingSecret is required where postgres.enabled is false" -}}{{- end -}}
{{- if and (not .Values.redis.enabled) (not .Values.cache.existingSecret) -}}{{- $problems = append $problems "cache.existingSecret is required where redis.enabled is false" -}}{{- end -}}
{{- if and .Values.postgres.enabled .Values.database.existingSecret -}}{{- $problems = append $problems "postgres.enabled and database.existingSecret exclude each other" -}}{{- end -}}
{{- if and .Values.redis.enabled .Values.cache.existingSecret -}}{{- $problems = append $problems "redis.enabled and cache.existingSecret exclude each other" -}}{{- end -}}
{{- if and (eq .Values.certificates.source "certManager") (not .Values.certificates.certManager.issuer.name) -}}{{- $problems = append $problems "certificates.certManager.issuer.name is required" -}}{{- end -}}
{{- if and .Values.postgres.enabled .Values.postgres.password -}}
{{- $present := lookup "v1" "Secret" .Release.Namespace (printf "%s-postgres" (include "crossband.fullname" .)) -}}
{{- if and $present (ne (dig "data" "password" "" $present | b64dec) .Values.postgres.password) -}}
{{- $problems = append $problems "postgres.password is not the one that the volume of Postgres was made with; leave it empty, or change it in Postgres and in the Secret first" -}}
{{- end -}}
{{- end -}}
{{- range $entity, $service := .Values.services -}}
{{- if and (dig "keyFile" "existingSecret" "" (default dict $service)) (not (include "crossband.hasKeyFile" $entity)) -}}{{- $problems = append $problems (printf "services.%s.keyFile: %s has no key file" $entity $entity) -}}{{- end -}}
{{- end -}}
{{- $server := include "crossband.server" . | fromJson -}}
{{- $ending := add (include "crossband.seconds" $server.announce_duration) (include "crossband.seconds" $server.drain_timeout) 15 -}}
{{- $listeners := include "crossband.listeners" . | fromYaml -}}
{{- range $entity, $service := include "crossband.services" . | fromJson -}}
{{- if lt (int $service.terminationGracePeriodSeconds) (int $ending) -}}{{- $problems = append $problems (printf "services.%s.terminationGracePeriodSeconds: must be %d or more, for settings.server.announce_duration and drain_timeout, 5 s of preStop and 10 s to end" $entity $ending) -}}{{- end -}}
{{- range $listener, $_ := $service.expose -}}
{{- if not (has $listener (index $listeners $entity)) -}}{{- $problems = append $problems (printf "services.%s.expose.%s: %s has no such listener" $entity $listener $entity) -}}{{- end -}}
{{- end -}}
{{- if and $service.autoscaling.enabled (gt (int $service.autoscaling.minReplicas) (int $service.autoscaling.maxReplicas)) -}}{{- $problems = append $problems (printf "services.%s.autoscaling: minReplicas is more than maxReplicas" $entity) -}}{{- end -}}
{{- end -}}
{{- if $problems -}}{{- fail (printf "\n- %s" (join "\n- " $problems)) -}}{{- end -}}
{{- end -}}
