package templates

import (
	"strings"

	"golang.org/x/text/language"
)

// What of a header and of ui_locales is looked at; nobody reads more languages.
const (
	longestPreference = 400 // bytes
	mostPreferences   = 12
)

// languages picks one of a set of languages.
type languages struct {
	names   []string // the first is what it comes to in doubt
	matcher language.Matcher
}

// newLanguages takes tags that language.Parse takes.
func newLanguages(names []string) *languages {
	tags := make([]language.Tag, len(names))
	for i, name := range names {
		tags[i] = language.Make(name)
	}
	return &languages{names: names, matcher: language.NewMatcher(tags)}
}

// pick returns the best language for ui_locales (OpenID Connect Core 1.0,
// section 3.1.2.1: language tags in order of preference, separated by spaces)
// and, where that names none that we speak, for an Accept-Language header (RFC
// 9110, section 12.5.4). What can't be read is passed over.
func (l *languages) pick(acceptLanguage, uiLocales string) string {
	if name, ok := l.match(localeTags(uiLocales)); ok {
		return name
	}
	if name, ok := l.match(headerTags(acceptLanguage)); ok {
		return name
	}
	return l.names[0]
}

func (l *languages) match(tags []language.Tag) (string, bool) {
	if len(tags) == 0 {
		return "", false
	}
	_, i, confidence := l.matcher.Match(tags...)
	return l.names[i], confidence != language.No
}

func localeTags(s string) []language.Tag {
	return tagsOf(strings.Fields(clip(s)))
}

func headerTags(s string) []language.Tag {
	s = clip(s)
	if tags, _, err := language.ParseAcceptLanguage(s); err == nil {
		return tags[:min(len(tags), mostPreferences)]
	}
	// One bad item must not cost the good ones; their order has to do for weights.
	items := strings.Split(s, ",")
	for i, item := range items {
		name, _, _ := strings.Cut(item, ";")
		items[i] = strings.TrimSpace(name)
	}
	return tagsOf(items)
}

func tagsOf(names []string) []language.Tag {
	var tags []language.Tag
	for _, name := range names[:min(len(names), mostPreferences)] {
		if tag, err := language.Parse(name); err == nil && tag != language.Und {
			tags = append(tags, tag)
		}
	}
	return tags
}

// clip cuts a list at a separator, so that no half tag counts as a whole one.
func clip(s string) string {
	if len(s) <= longestPreference {
		return s
	}
	s = s[:longestPreference]
	return s[:max(strings.LastIndexAny(s, " ,"), 0)]
}
