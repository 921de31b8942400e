// SPDX-License-Identifier: Apache-2.0

// Package collector is the profiler as a receiver of an OpenTelemetry Collector: what
// the agent samples goes into a pipeline of the Collector, as OTLP profiles, in place
// of to a collection agent.
//
//	factories.Receivers, err = otelcol.MakeFactoryMap(collector.NewFactory(), ...)
//
// One receiver at a time samples a host, as a second one in the same process would
// take every sample twice: its Start is refused. One receiver can be named in several
// pipelines. It runs on Linux on amd64 and arm64; elsewhere the factory is there,
// with its configuration, and creating the receiver is an error.
//
// # The way of a sample
//
// Samples wait in a queue that is bounded by queue_bytes. Every reporter_interval they
// are written as OTLP, by the encoder of package reporter, and handed to the next
// component of the pipeline, one batch at a time. A batch that is refused for good is
// dropped; any other is repeated, for five minutes. Samples that wait meanwhile are
// summed, and the oldest are dropped last. Whatever is dropped is counted with its reason.
//
// # Start and Shutdown
//
// Start returns at once: loading the programs into the kernel takes a second. What goes
// wrong then is reported as the status of the component: as permanent when the host
// does not allow what is needed, with what to do in the log, else as recoverable, and
// it is tried again. Shutdown ends sampling, hands on what is left, and
// takes fifteen seconds at most.
package collector
