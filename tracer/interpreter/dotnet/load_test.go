// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

func TestLoad(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	_ = rlimit.RemoveMemlock()
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	spec.Maps["row_segments"].InnerMap = &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 1 << 20, MaxEntries: 1, Flags: 1 << 10}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}})
	if err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			l := v.Log
			if len(l) > 60 {
				l = l[len(l)-60:]
			}
			for _, x := range l {
				t.Log(x)
			}
		}
		t.Fatal(err)
	}
	t.Log(c.Programs["unwind_dotnet"].VerifierLog)
	c.Close()
}
