package ldapstore

import (
	"context"
	"fmt"

	"gatehouse/oidc"
)

// Photo returns a person's photo, the first value of the first of attributes that
// has one, as it is in the directory. It is oidc.ErrNotFound if there is no such
// person or no photo. Photos are not part of a User: they are a hundred times as
// large as all the rest, and few who look a person up want them.
func (d *Directory) Photo(ctx context.Context, id string, attributes ...string) ([]byte, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	value, ok := t.encodeID(id)
	if !ok {
		return nil, fmt.Errorf("%w: no entry can have this id", oidc.ErrNotFound)
	}
	people, _, err := d.peopleWith(ctx, t, "reading a photo", equal(t.IDAttribute, value), attributes)
	if err != nil {
		return nil, err
	}
	if len(people) == 1 {
		for _, attribute := range attributes {
			if photo := people[0].first(attribute); photo != "" {
				return []byte(photo), nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no photo", oidc.ErrNotFound)
}
