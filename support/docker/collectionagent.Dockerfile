# SPDX-License-Identifier: Apache-2.0
# Built from the static binary that `make build` makes; no image is pulled.
FROM scratch
COPY bin/collectionagent /collectionagent
ENTRYPOINT ["/collectionagent"]
