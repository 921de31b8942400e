// SPDX-License-Identifier: Apache-2.0

// Package containers asks container runtimes and the kubelet of this host what
// they know of the containers whose processes are profiled: names, images,
// labels, pods.
//
// A process is known by the ID of its container first, which the kernel tells
// (see tracer/identity). The rest is a courtesy of somebody who may be slow, away,
// broken or hostile, so it is never waited for: [Directory.Want] and
// [Directory.Describe] answer at once with what is known, and each source is asked
// by a goroutine of its own, a few times a second at most, with a limit of time on
// every question and pauses that grow while it fails. Samples wait for
// their delivery anyway, so names that come a moment late are in time for them:
// the reporter asks [Directory.Describe] when it takes samples out of its queue.
//
// Four traps shape the package:
//
//   - A container that has just started may not be known to its own runtime yet,
//     and to the kubelet a second later. "Not there" is asked again, a few times.
//   - No source is opened before the first process in a container was seen. A host
//     without containers keeps no connection, and starts no service that systemd
//     would start for it.
//   - Answers are foreign bytes: they are read up to a limit, only the labels that
//     somebody asked for are kept, texts are cut and made valid UTF-8, and what is
//     remembered is bounded in containers and in bytes.
//   - A process chooses its environment, and a container's owner its labels. What the
//     runtime says of a container wins over what the process says of it; the
//     service that a process names itself stays.
package containers
