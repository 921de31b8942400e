// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/internal/nearest"
	"github.com/strobe-profiler/strobe/internal/settings"
)

// Loaded is what the command line, the environment and the file say together.
type Loaded struct {
	Config
	Modes
	// Warnings are about things that have no effect.
	Warnings []string
}

// Load reads the settings. environ has the form of os.Environ. The error is
// flag.ErrHelp when help was asked for; every other one names the flag,
// variable or line of the file, and lists all that is wrong at once.
func Load(args, environ []string) (*Loaded, error) {
	l := &Loaded{Config: Default()}
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	options := l.options()
	aliases := map[string]string{}
	for name, o := range options {
		fs.Var(o, name, "")
		if o.alias != "" {
			fs.Var(o, o.alias, "")
			aliases[o.alias] = name
		}
	}
	l.Modes.flags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, ExplainFlagError(err, fs)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: the commands are record, doctor, status and version, and flags start with a dash", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) {
		given[f.Name] = true
		given[aliases[f.Name]] = true
	})
	err := l.lower(options, given, environ)
	if err == nil {
		err = l.Validate()
	}
	for _, flag := range l.withoutEffect() {
		l.Warnings = append(l.Warnings, "-"+flag+" has no effect without -exporter "+ExporterOTLP)
	}
	return l, err
}

// ErrNotServed is returned by StatusAddress when the agent serves no pages.
var ErrNotServed = errors.New("-http-address of the agent is off, so it cannot be asked")

// StatusAddress returns where a running agent serves its pages: an address that was
// given, else that of the agent's settings, which come from file, if it is not "",
// and from environ.
func StatusAddress(address, file string, environ []string) (string, error) {
	if address != "" {
		if err := checkAddress(address); err != nil {
			return "", fmt.Errorf("-address: %w", err)
		}
		return address, nil
	}
	var args []string
	if file != "" {
		args = []string{"-config", file}
	}
	l, err := Load(args, environ)
	if err != nil {
		return "", err
	}
	if l.HTTPAddress == HTTPOff {
		return "", ErrNotServed
	}
	return l.HTTPAddress, nil
}

// lower fills in what the command line did not give.
func (l *Loaded) lower(options map[string]*option, given map[string]bool, environ []string) error {
	env := environment(environ)
	var errs []error
	if file, ok := env[EnvPrefix+"CONFIG"]; ok && !given["config"] {
		l.File = file
	}
	delete(env, EnvPrefix+"CONFIG")
	for name, o := range options {
		value, ok := env[o.env()]
		delete(env, o.env())
		if !ok || given[name] {
			continue
		}
		given[name] = true
		if err := o.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", o.env(), err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !settings.IsServiceLink(strings.TrimPrefix(name, EnvPrefix)) {
			l.Warnings = append(l.Warnings, "environment variable "+name+" is not a setting"+suggest(name, envNames(options)))
		}
	}
	if l.File != "" {
		if err := readFile(l.File, options, given); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(sortErrors(errs)...)
}

// environment picks the agent's variables.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, EnvPrefix) {
			env[name] = value
		}
	}
	return env
}

func envNames(options map[string]*option) []string {
	var names []string
	for _, o := range options {
		names = append(names, o.env())
	}
	return names
}

// ExplainFlagError makes the messages of the flag package say what to do.
func ExplainFlagError(err error, fs *flag.FlagSet) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		var names []string
		fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		return fmt.Errorf("unknown flag -%s%s", name, suggest(name, names))
	}
	return err
}

// suggest returns a hint at the name that is most like an unknown one, if any is.
func suggest(unknown string, names []string) string {
	name := nearest.Name(unknown, names)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", name)
}

// maxFileBytes bounds the configuration file, in case it is another file.
const maxFileBytes = 1 << 20

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // named by the operator
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(b) > maxFileBytes {
		err = fmt.Errorf("%s: larger than %v, so it is no configuration file", path, settings.Bytes(maxFileBytes))
	}
	return b, err
}
