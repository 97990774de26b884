package main

import (
	"strings"
	"testing"
)

func TestASectionIsAddedWhateverStandsAround(t *testing.T) {
	t.Parallel()
	section := func(indent int) string { return strings.Repeat(" ", indent) + "- name: new\n" }
	const plain = "  # It was there first: its people keep the sub that applications know them by.\n"
	for name, c := range map[string]struct{ before, after string }{
		"one directory at the end": {
			"issuer: x\ndirectory:\n  url: [a]\n  base_dn: b\n",
			"issuer: x\ndirectories:\n  - name: main\n  " + plain + "    subjects: plain\n    url: [a]\n    base_dn: b\n  - name: new\n",
		},
		"no line break at the end": {
			"directory: # ours\n  url: [a]",
			"directories: # ours\n  - name: main\n  " + plain + "    subjects: plain\n    url: [a]\n  - name: new\n",
		},
		"keys, comments and blank lines behind": {
			"directory:\n  url:\n    - a\n\n  # why\n  base_dn: b\n\n# of the store\ndatabase: d\n",
			"directories:\n  - name: main\n  " + plain + "    subjects: plain\n    url:\n      - a\n\n    # why\n    base_dn: b\n  - name: new\n\n# of the store\ndatabase: d\n",
		},
		"another indentation": {
			"directory:\n    url: [a]\nx: y\n",
			"directories:\n    - name: main\n    " + plain + "      subjects: plain\n      url: [a]\n    - name: new\nx: y\n",
		},
		"a list": {
			"directories:\n  - name: a\n    url: [a]\nx: y\n",
			"directories:\n  - name: a\n    url: [a]\n  - name: new\nx: y\n",
		},
		"a list that is not indented": {
			"directories:\n- name: a\n  url: [a]\n- name: b\n  url: [b]\n\nx: y\n",
			"directories:\n- name: a\n  url: [a]\n- name: b\n  url: [b]\n- name: new\n\nx: y\n",
		},
		"a flow":            {"directory: {url: [a]}\n", ""},
		"a list in a flow":  {"directories: [{name: a}]\n", ""},
		"nothing below":     {"directory:\nx: y\n", ""},
		"no directory":      {"issuer: x\n", ""},
		"only in a comment": {"# directory:\nissuer: x\n", ""},
	} {
		got, ok := withSection(c.before, section, "main")
		if got != c.after || ok != (c.after != "") {
			t.Errorf("%s: got %v\n%s\nwant\n%s", name, ok, got, c.after)
		}
	}
}
