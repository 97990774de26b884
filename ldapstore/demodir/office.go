package demodir

import (
	_ "embed"
	"slices"
)

//go:embed office.ldif
var officeLDIF []byte

// Office returns the LDIF of Lindenhof, a small invented office.
func Office() []byte { return slices.Clone(officeLDIF) }

// Account is a person of the office for the demonstration.
type Account struct {
	Username string
	Password string
	Name     string
	Shows    string // what signing in as this person shows
}

// Accounts returns the people of the office, those to begin with first.
func Accounts() []Account {
	return []Account{
		{"amelie", "morning-train", "Amélie Rousseau", "the director: a member of staff, and of admins"},
		{"siobhan", "harbour-light", "Siobhán O'Neill", "book-keeping: the only group that may use the accounts"},
		{"tomasz", "copper-kettle", "Tomasz Wójcik", "workshop, so staff; and a project with a comma in its name"},
		{"asa", "winter-garden", "Åsa Lindqvist", "design; a comma in the name of her entry"},
		{"juergen", "wooden-table", "Jürgen Müller", "head of the workshop; admins; prefers German"},
		{"nuria", "paper-lantern", "Núria García i Puig", "design and the project, at work in Barcelona"},
		{"giulia", "yellow-bicycle", "Giulia Conti", "design"},
		{"kenji", "silver-pencil", "Kenji Watanabe", "design; his name in two scripts"},
		{"fatma", "garden-gate", "Fatma Yıldız", "book-keeping"},
		{"lea", "river-stone", "Léa Zbinden", "a guest, not of the staff; her groups hold each other in a loop"},
		{"bjorn", "empty-chair", "Björn Ólafsson", "disabled: he has left the office"},
		{"elena", "autumn-leaf", "Elena Petrova", "her password has expired"},
		{"pieter", "second-key", "Pieter de Vries", "has to change his password first"},
	}
}
