// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"strconv"
	"strings"
)

// elixir is what the names of Elixir's modules begin with, unseen by its users.
const elixir = "Elixir."

// functionName writes a function as its language does: lists:map/2 in Erlang,
// Enum.map/2 in Elixir. Its compiler calls a function without a name after the
// one that it stands in: -name/arity-fun-number-.
func functionName(module, function string, arity uint64) string {
	n := strconv.FormatUint(arity, 10)
	m, ok := strings.CutPrefix(module, elixir)
	if !ok {
		return module + ":" + function + "/" + n
	}
	if inner, ok := strings.CutPrefix(function, "-"); ok {
		if i := strings.LastIndex(inner, "-fun-"); i > 0 {
			return "anonymous fn/" + n + " in " + m + "." + inner[:i]
		}
	}
	return m + "." + function + "/" + n
}
