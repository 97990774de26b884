package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
)

// Member is one of several directories.
type Member struct {
	// Name is the first part of the ids of its people: lower-case letters, digits and
	// hyphens, beginning with a letter.
	Name string
	// Plain leaves ids as the directory has them. One member may have it: the one
	// that was there before there were several, so that nobody's id changes.
	Plain bool
	// Names are the typed names that belong here: *@example.org, EXAMPLE\*, or * for
	// all; none means all as well. A name that fits somebody's pattern other than *
	// belongs to them alone.
	Names []string
	// CutNames leaves out what stands beside the * before a name is looked for.
	CutNames bool
	// PhotoAttributes are where photos are; none means that there are none.
	PhotoAttributes []string
	Directory       *Directory
}

// Several reads people from several directories as if they were one. A typed name
// belongs to the first directory, in their order, that has it; ids carry the name
// of their directory, so two people never share one. Where a directory can't be
// asked, nobody after it is: the name may be its.
type Several struct {
	members []*Member
	timeout time.Duration // of calls that may ask more than one
}

var (
	_ oidc.Directory       = (*Several)(nil)
	_ oidc.PasswordChanger = (*Several)(nil)
)

// NewSeveral joins directories, which it closes with itself. An error is an
// oidc.Problems; keys begin with "directories." and the name of the member.
func NewSeveral(members []Member) (*Several, error) {
	s := &Several{}
	var problems oidc.Problems
	add := func(m *Member, key, message, hint string) {
		problems = append(problems, oidc.Problem{Key: "directories." + m.Name + "." + key, Message: message, Hint: hint})
	}
	for i := range members {
		m := &members[i]
		if !validMemberName(m.Name) {
			add(m, "name", fmt.Sprintf("%q is no name for a directory", m.Name), "write one such as staff: lower-case letters, digits and hyphens")
		}
		for _, pattern := range m.Names {
			if !validPattern(pattern) {
				add(m, "names", fmt.Sprintf("%q is no pattern for names", pattern), `write one such as *@students.example.org or STUDENTS\*`)
			}
		}
		for _, other := range s.members {
			if other.Name == m.Name {
				add(m, "name", "two directories have it", "give each a name of its own")
			}
			if other.Plain && m.Plain {
				add(m, "subjects", "directory "+other.Name+" has plain subjects already: people of two could share one", "leave it out")
			}
			if other.mixesGroupsWith(m) {
				add(m, "group_base_dn", fmt.Sprintf("groups of %s could not be told from those of %s: one base is the other's, or within it", m.Name, other.Name),
					"give them bases that are apart; domains of one Active Directory forest may overlap if both have kind: ad")
			}
		}
		s.members = append(s.members, m)
		s.timeout = max(s.timeout, budget(m.Directory.options.Timeout))
	}
	if len(members) == 0 {
		problems = append(problems, oidc.Problem{Key: "directories", Message: "no directory is named"})
	}
	return s, problems.Err()
}

// mixesGroupsWith reports whether one DN could stand for a group of each. Two
// sections about the same servers mean the same groups; a forest keeps the names
// of its domains apart by itself.
func (m *Member) mixesGroupsWith(o *Member) bool {
	a, b := m.Directory.options, o.Directory.options
	if slices.Equal(a.URL, b.URL) || a.Kind == "ad" && b.Kind == "ad" {
		return false
	}
	// The place that a kind has below the base is left out: the kind may not be known.
	for _, one := range basesOf(a.GroupBaseDN, a.BaseDN, "") {
		for _, two := range basesOf(b.GroupBaseDN, b.BaseDN, "") {
			if isWithin(one, two) || isWithin(two, one) {
				return true
			}
		}
	}
	return false
}

// validMemberName keeps names short and free of the colon that ends them in ids.
func validMemberName(name string) bool {
	return name != "" && len(name) <= 32 && name[0] >= 'a' && name[0] <= 'z' && name[len(name)-1] != '-' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func validPattern(pattern string) bool {
	return strings.Count(pattern, "*") == 1 && (strings.HasPrefix(pattern, "*") || strings.HasSuffix(pattern, "*"))
}

// Members returns the directories in their order.
func (s *Several) Members() []*Member { return slices.Clone(s.members) }

// NameOf returns the name of the directory that an id belongs to, "" for none.
func (s *Several) NameOf(subject string) string {
	m, _, err := s.member(subject)
	if err != nil {
		return ""
	}
	return m.Name
}

// Subject returns the id under which all others know the person with this id in
// the member's directory.
func (m *Member) Subject(id string) string {
	if m.Plain {
		return id
	}
	return m.Name + ":" + id
}

// member finds the directory that an id belongs to, and its id there.
func (s *Several) member(subject string) (*Member, string, error) {
	name, id, found := strings.Cut(subject, ":")
	named := found && validMemberName(name)
	var plain *Member
	for _, m := range s.members {
		switch {
		case m.Plain:
			plain = m
		case named && m.Name == name:
			return m, id, nil
		}
	}
	if plain != nil {
		return plain, subject, nil
	}
	if named {
		return nil, "", unavailable("looking up an id", fmt.Errorf("no directory is named %s", name))
	}
	return nil, "", unavailable("looking up an id", errors.New("it names no directory, and no directory has plain subjects"))
}

// gone makes sure that nobody is taken for gone whose directory is no longer
// configured: the directory with plain ids, which was asked instead, knows nothing
// of them.
func (m *Member) gone(subject string, err error) error {
	name, _, found := strings.Cut(subject, ":")
	if errors.Is(err, oidc.ErrNotFound) && m.Plain && found && validMemberName(name) {
		return unavailable("looking up an id", fmt.Errorf("no directory is named %s", name))
	}
	return err
}

// theirs turns a person of one directory into one of several. It takes a copy:
// others may hold the original.
func (s *Several) theirs(m *Member, u *oidc.User) (*oidc.User, error) {
	if m.Plain {
		if name, _, found := strings.Cut(u.ID, ":"); found && slices.ContainsFunc(s.members, func(o *Member) bool { return !o.Plain && o.Name == name }) {
			return nil, unavailable("reading an entry", fmt.Errorf("its id looks like one of directory %s", name))
		}
		return u, nil
	}
	known := *u
	known.ID = m.Subject(u.ID)
	return &known, nil
}

// User returns the person with this id.
func (s *Several) User(ctx context.Context, subject string) (*oidc.User, error) {
	m, id, err := s.member(subject)
	if err != nil {
		return nil, err
	}
	u, err := m.Directory.User(ctx, id)
	if err != nil {
		return nil, m.gone(subject, err)
	}
	return s.theirs(m, u)
}

// Photo returns the photo of the person with this id.
func (s *Several) Photo(ctx context.Context, subject string) ([]byte, error) {
	m, id, err := s.member(subject)
	if err != nil {
		return nil, err
	}
	if len(m.PhotoAttributes) == 0 {
		return nil, fmt.Errorf("%w: no photo", oidc.ErrNotFound)
	}
	photo, err := m.Directory.Photo(ctx, id, m.PhotoAttributes...)
	return photo, m.gone(subject, err)
}

// ChangePassword replaces a password in the directory that the person is in.
func (s *Several) ChangePassword(ctx context.Context, subject, oldPassword, newPassword string) error {
	m, id, err := s.member(subject)
	if err != nil {
		return err
	}
	return m.refused(m.gone(subject, m.Directory.ChangePassword(m.guarded(ctx), id, oldPassword, newPassword)))
}

// guarded has a guard hear the id that it knows a person by.
func (m *Member) guarded(ctx context.Context) context.Context {
	return oidc.WithBindGuard(ctx, func(id string) error { return oidc.GuardBind(ctx, m.Subject(id)) })
}

// refused says in a refusal who was refused, by the id that others know.
func (m *Member) refused(err error) error {
	var refused *oidc.SignInError
	if errors.As(err, &refused) && refused.Subject != "" {
		refused.Subject = m.Subject(refused.Subject)
	}
	return err
}

// Authenticate looks for the first directory that has the name and tries the
// password there, with one bind.
func (s *Several) Authenticate(ctx context.Context, name, password string) (*oidc.User, error) {
	if password == "" {
		return nil, refuse(oidc.ReasonEmptyPassword, nil)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()
	h, err := s.whose(ctx, name)
	if err != nil {
		return nil, err
	}
	d := h.member.Directory
	ctx, end := d.bounded(ctx)
	defer end()
	switch len(h.people) {
	case 0:
		return nil, d.decoy(ctx, h.table, &oidc.SignInError{Reason: oidc.ReasonUnknownUser})
	case 1:
	default:
		return nil, d.decoy(ctx, h.table, &oidc.SignInError{Reason: oidc.ReasonAmbiguous})
	}
	u, err := d.prove(h.member.guarded(ctx), h.table, h.people[0], h.server, password)
	if err != nil {
		return nil, h.member.refused(err)
	}
	return s.theirs(h.member, u)
}

// UserByName returns the person that would be asked for a password if name were
// typed at sign-in.
func (s *Several) UserByName(ctx context.Context, name string) (*oidc.User, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()
	h, err := s.whose(ctx, name)
	if err != nil {
		return nil, err
	}
	d := h.member.Directory
	ctx, end := d.bounded(ctx)
	defer end()
	switch len(h.people) {
	case 0:
		return nil, fmt.Errorf("%w: no entry has this name", oidc.ErrNotFound)
	case 1:
	default:
		return nil, &oidc.SignInError{Reason: oidc.ReasonAmbiguous}
	}
	u, err := d.complete(ctx, h.table, h.people[0])
	if err != nil {
		return nil, err
	}
	return s.theirs(h.member, u)
}

// Group returns the group with this DN, whichever directory has it. It is gone
// only where every directory says so.
func (s *Several) Group(ctx context.Context, dn string) (oidc.Group, error) {
	var failed error
	for _, m := range s.members {
		g, err := m.Directory.Group(ctx, dn)
		if err == nil {
			return g, nil
		}
		if failed == nil || !errors.Is(err, oidc.ErrNotFound) {
			failed = err
		}
	}
	return oidc.Group{}, failed
}

// Ping asks every directory; nil means that people of all can be looked up now.
func (s *Several) Ping(ctx context.Context) error {
	errs := s.ping(ctx)
	return errors.Join(errs...)
}

// Ready is nil if people of some directory can be looked up now: that another is
// away keeps nobody else from signing in.
func (s *Several) Ready(ctx context.Context) error {
	errs := s.ping(ctx)
	if slices.Contains(errs, nil) {
		return nil
	}
	return errors.Join(errs...)
}

// ping asks all directories at once.
func (s *Several) ping(ctx context.Context) []error {
	errs := make([]error, len(s.members))
	done := make(chan struct{})
	for i, m := range s.members {
		go func() {
			defer func() { done <- struct{}{} }()
			if err := m.Directory.Ping(ctx); err != nil {
				errs[i] = fmt.Errorf("directory %s: %w", m.Name, err)
			}
		}()
	}
	for range s.members {
		<-done
	}
	return errs
}

// Close closes all directories.
func (s *Several) Close() {
	for _, m := range s.members {
		m.Directory.Close()
	}
}
