package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is what is wrong with one value.
type fault struct{ message, hint string }

func (f *fault) Error() string { return f.message }

// texts is what a setting is made of, wherever it was written: one text, or
// several for a list.
type texts []string

// read turns texts into a value of the setting's Go type. Relative paths are
// taken from base. Secrets are never echoed.
func (s *setting) read(t texts, base string) (any, error) {
	switch s.kind {
	case kindList, kindLines:
		return s.readList(t)
	case kindNetworks:
		return readNetworks(t)
	}
	if len(t) != 1 {
		return nil, &fault{"a list stands where one value is expected", ""}
	}
	text := t[0]
	if strings.ContainsRune(text, 0) {
		return nil, &fault{"it holds a NUL", ""}
	}
	switch s.kind {
	case kindSecret:
		return Secret(text), nil
	case kindFile, kindFolder:
		if text == "" {
			return "", nil
		}
		if strings.Contains(text, "://") || strings.HasPrefix(text, "file:") {
			return s.readAddress(text)
		}
		if !filepath.IsAbs(text) {
			text = filepath.Join(base, text)
		}
		return filepath.Clean(text), nil
	case kindFlag:
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		}
		return nil, &fault{fmt.Sprintf("%q is neither true nor false", clip(text)), "write true or false"}
	case kindNumber:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, &fault{fmt.Sprintf("%q is not a whole number", clip(text)), "write a number such as " + s.def}
		}
		return n, s.within(int64(n), strconv.FormatInt(s.least, 10), strconv.FormatInt(s.most, 10))
	case kindDuration:
		d, err := readDuration(text)
		if err != nil {
			return nil, &fault{fmt.Sprintf("%q %v", clip(text), err), "write a duration such as 60s, 15m, 12h or 30d"}
		}
		return d, s.within(int64(d), spell(time.Duration(s.least)), spell(time.Duration(s.most)))
	}
	if err := s.allowed(text); err != nil {
		return nil, err
	}
	if s.kind == kindLevel {
		var level slog.Level
		return level, level.UnmarshalText([]byte(text))
	}
	return text, nil
}

// readAddress refuses addresses where a path is meant. The address is not echoed:
// those of databases hold passwords.
func (s *setting) readAddress(text string) (any, error) {
	if strings.HasPrefix(text, "postgres") {
		return nil, &fault{"PostgreSQL is not supported yet", "name the file of an SQLite database"}
	}
	return nil, &fault{"an address stands where a path is expected", "write a path such as /var/lib/gatehouse/" + strings.ReplaceAll(s.key, ".", "_")}
}

func (s *setting) allowed(text string) error {
	if len(s.values) == 0 || slices.Contains(s.values, text) {
		return nil
	}
	hint := suggest(text, s.values)
	if hint == "" {
		hint = "write " + oneOf(s.values)
	}
	return &fault{fmt.Sprintf("%q is not supported", clip(text)), hint}
}

func (s *setting) within(n int64, least, most string) error {
	if n < s.least || n > s.most {
		return &fault{"it is not between " + least + " and " + most, ""}
	}
	return nil
}

func (s *setting) readList(t texts) (any, error) {
	list := make([]string, 0, len(t))
	for _, text := range t {
		switch {
		case strings.TrimSpace(text) == "":
			return nil, &fault{"an entry is empty", "fill it in or leave it out"}
		case slices.Contains(list, text):
			return nil, &fault{fmt.Sprintf("%q is listed twice", clip(text)), "leave one out"}
		}
		list = append(list, text)
	}
	return list, nil
}

// readNetworks takes addresses and networks. A network as wide as the internet
// would let anybody say who they are.
func readNetworks(t texts) (any, error) {
	networks := make([]netip.Prefix, 0, len(t))
	for _, text := range t {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return nil, &fault{fmt.Sprintf("%q is neither an address nor a network", clip(text)), "write addresses such as 127.0.0.1 or networks such as 10.1.2.0/24"}
			}
			a = a.Unmap()
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 7 || p.Addr().Is4In6() {
			return nil, &fault{fmt.Sprintf("%s is no network of proxies: everybody in it would be believed", p), "name the proxies' own addresses"}
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// readDuration reads Go's durations and whole days, "30d".
func readDuration(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errors.New("is not a duration")
		}
		return time.Duration(n) * time.Duration(day), nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("is not a duration")
	case d < 0:
		return 0, errors.New("is negative")
	}
	return d, nil
}

// spell writes a duration the way readDuration reads it.
func spell(d time.Duration) string {
	for _, unit := range []struct {
		name  string
		size  time.Duration
		least time.Duration
	}{{"d", time.Duration(day), 2 * time.Duration(day)}, {"h", time.Hour, time.Hour}, {"m", time.Minute, time.Minute}} {
		if d >= unit.least && d%unit.size == 0 {
			return strconv.FormatInt(int64(d/unit.size), 10) + unit.name
		}
	}
	return d.String()
}

func oneOf(values []string) string {
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}
