// SPDX-License-Identifier: Apache-2.0

package main

import "context"

// noContext is for what is made once, for all tests.
var noContext = context.Background()
