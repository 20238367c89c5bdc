package door

import "time"

// Hasty is c with a shorter grace for idle connections.
func (c Config) Hasty() Config {
	c.grace = 20 * time.Millisecond
	return c
}

// StartPoller makes the descriptor of the poller, which stays.
func StartPoller() error {
	_, err := polling()
	return err
}
