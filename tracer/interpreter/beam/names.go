// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"strconv"
	"strings"
)

// elixir is what the names of Elixir's modules begin with, unseen by its users.
const elixir = "Elixir."

// functionName writes a function as its language does: lists:map/2 in Erlang,
// Enum.map/2 in Elixir.
func functionName(module, function string, arity uint64) string {
	tail := function + "/" + strconv.FormatUint(arity, 10)
	if m, ok := strings.CutPrefix(module, elixir); ok {
		return m + "." + tail
	}
	return module + ":" + tail
}
