// Package headrace has the types that a producer and a reader need, as the JSON Schemas define them.
package headrace

import (
	"encoding/json"
	"os"
	"strings"
)

// Request is the value of a record of `<prefix>.requests.<lane>`; see schemas/json/request.json.
type Request struct {
	ID       string         `json:"id"`
	Endpoint string         `json:"endpoint,omitempty"`
	Body     map[string]any `json:"body"`
	Tenant   string         `json:"tenant,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// Outcome is the value of a record of `<prefix>.results`; see schemas/json/completed.json and failed.json.
// It ignores all other fields, of which later releases may add more; Response keeps the whole answer of OpenAI.
type Outcome struct {
	ID       string          `json:"id"`
	Run      int             `json:"run"`
	Status   string          `json:"status"` // completed or failed; treat anything else as failed
	Response json.RawMessage `json:"response"`
	Reason   string          `json:"reason"`
	Message  string          `json:"message"`
	Metadata map[string]any  `json:"metadata"`
}

// Text is the text of the first choice, or the reason why there is none.
func (outcome Outcome) Text() string {
	var said struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	if outcome.Status != "completed" || json.Unmarshal(outcome.Response, &said) != nil || len(said.Choices) == 0 {
		return outcome.Reason
	}
	return said.Choices[0].Message.Content
}

// Brokers and Prefix are read from the environment variables of Headrace.
func Brokers() []string {
	return strings.Split(or(os.Getenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS"), "localhost:9092"), ",")
}

// Prefix names the budget: each prefix has a dispatcher of its own.
func Prefix() string {
	return or(os.Getenv("HEADRACE_KAFKA__TOPIC_PREFIX"), "generation")
}

func or(given, usual string) string {
	if given == "" {
		return usual
	}
	return given
}
