// SPDX-License-Identifier: Apache-2.0

package native

// Where the kernel leaves the registers of interrupted code, relative to the
// stack pointer in the function that returns from signal handlers.
const (
	// amd64Sigregs is uc_mcontext in struct ucontext; sigcontext in asm/sigcontext.h.
	amd64Sigregs = 40
	// arm64Sigregs is regs[] behind siginfo, the head of ucontext, and fault_address.
	arm64Sigregs = 128 + 176 + 8
)

// amd64SigOrder are the DWARF numbers of the registers in the order of struct
// sigcontext: r8..r15, di, si, bp, bx, dx, ax, cx, sp, and last ip.
var amd64SigOrder = [...]uint8{8, 9, 10, 11, 12, 13, 14, 15, 5, 4, amd64FP, 3, 1, 0, 2, amd64SP, amd64RA}

func (s *Stepper) signalAMD64(r *Registers) End {
	var next Registers
	for i, reg := range amd64SigOrder {
		v, ok := s.Memory.Uint64(r.SP + amd64Sigregs + 8*uint64(i)) //nolint:gosec // small
		if !ok {
			return EndStackRead
		}
		next.GPR[reg] = v
	}
	next.PC, next.SP, next.FP = next.GPR[amd64RA], next.GPR[amd64SP], next.GPR[amd64FP]
	next.Exact, next.Leaf = true, true
	*r = next
	return EndNone
}

func (s *Stepper) signalARM64(r *Registers) End {
	var next Registers
	for i := range next.GPR { // x0..x30, sp
		v, ok := s.Memory.Uint64(r.SP + arm64Sigregs + 8*uint64(i)) //nolint:gosec // small
		if !ok {
			return EndStackRead
		}
		next.GPR[i] = v
	}
	pc, ok := s.Memory.Uint64(r.SP + arm64Sigregs + 8*32)
	if !ok {
		return EndStackRead
	}
	next.PC, next.SP, next.FP = pc, next.GPR[arm64SP], next.GPR[arm64FP]
	next.LR = next.GPR[arm64LR] & armAddressMask
	next.Exact, next.Leaf = true, true
	*r = next
	return EndNone
}
