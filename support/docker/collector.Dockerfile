# SPDX-License-Identifier: Apache-2.0
# Built from the static binary that `make collector` makes; no image is pulled.
FROM scratch
COPY bin/otelcol-strobe /otelcol-strobe
ENTRYPOINT ["/otelcol-strobe", "--config", "/etc/otelcol/config.yaml"]
