#!/usr/bin/env bash
# Sets the rights on the topic. Needs kafka-acls.sh of Apache Kafka, and a principal that may alter ACLs:
#   infra/kafka/acls.sh --bootstrap-server broker:9092 --command-config admin.properties
# After `--` name the applications that produce themselves:  infra/kafka/acls.sh ... -- shop crm
set -euo pipefail

topic=${EYE_TOPIC:-eye.events}
group=${EYE_PROJECTOR_GROUP:-eye-projector}
connection=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    connection+=("$1")
    shift
done
[ $# -eq 0 ] || shift

allow() { # PRINCIPAL RIGHTS...
    local principal=$1
    shift
    kafka-acls.sh "${connection[@]}" --add --allow-principal "User:$principal" "$@" >/dev/null
    echo "$principal: $*"
}

# The gateway appends. It never reads.
allow ingest --operation Write --operation Describe --topic "$topic"
allow ingest --operation IdempotentWrite --cluster
# The projector reads, looks whether the topic keeps its records, and keeps its positions in one group for each
# generation. It never writes.
allow projector --operation Read --operation Describe --operation DescribeConfigs --topic "$topic"
allow projector --operation Read --operation Describe --group "$group" --resource-pattern-type prefixed
# The query API asks for the end of the log, for the audit.
allow query-api --operation Describe --topic "$topic"
# An application that produces itself. Nothing checks its header `app`, so name only trusted services.
for application in "$@"; do
    allow "$application" --operation Write --operation Describe --topic "$topic"
    allow "$application" --operation IdempotentWrite --cluster
done
