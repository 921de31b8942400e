// SPDX-License-Identifier: Apache-2.0

// Package doctest runs the commands of the documents, so that none of them is
// wrong for long.
//
// A fenced block of the language sh in docs/ or in the README is a promise that
// a test runs it. The test opens the block's section by the words of its
// heading, and runs it in a shell as a reader would, one block after another:
//
//	func TestInstallFromSource(t *testing.T) {
//		doc := doctest.Open(t, "docs/install.md", "From source")
//		sh := doc.Shell(t, doctest.Options{
//			Dir:     t.TempDir(),
//			Env:     []string{"STROBE_HTTP=127.0.0.1:7170"},
//			Replace: map[string]string{"127.0.0.1:7070": "127.0.0.1:7170"},
//		})
//		sh.Run(doc.Block(0))                    // fails with file:line of the command
//		doctest.WaitHTTP(t, "http://127.0.0.1:7170/-/ready")
//		sh.RunUntil(doc.Block(1), func(out string) bool { return strings.Contains(out, "fib") })
//	}
//
// A block of text right below is what the command has to print (see [Matches]).
// What a test opens it has to run: a block that was left out fails the test. A
// test of this package reads all tests of the repository and fails for each
// section with blocks of sh that none of them opens by a literal file and
// heading. What no test can run is a block of text, with a word on why.
//
// Commands that end in & go on until the test ends. They are stopped then, with
// whatever else the shell has started.
package doctest
