// SPDX-License-Identifier: Apache-2.0

// Package identity answers who a process is: its name and executable, its
// container and pod, and the service that a person knows it by.
//
// Everything comes from files under /proc, which belong to processes that
// nobody here controls. Three traps shape the package:
//
//   - A process can end, or become another program, between any two reads. What
//     is known is kept under the start time and the address of the environment,
//     which every exec changes, and a process that is gone gets an answer made
//     of what the caller knows.
//   - Reading environ and cmdline takes the memory lock of the process, which a
//     stuck process may hold for ever. Those reads run aside, a few at a time,
//     and are given up after [Options.ReadTimeout].
//   - All contents are foreign bytes. Files are read up to a limit, texts are
//     cut and made valid UTF-8, and nothing that cannot be understood is an
//     error: it is only not known.
//
// The service of a process is the first of: OTEL_SERVICE_NAME, service.name in
// OTEL_RESOURCE_ATTRIBUTES, the name of its container, the first 12 digits of
// its container's ID, the base name of its executable, its own name. Threads of
// the kernel belong to the service "kernel".
package identity
