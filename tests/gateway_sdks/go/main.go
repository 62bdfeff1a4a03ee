// Command smoke tries OpenAI's Go SDK on a gateway. tests/gateway_sdks compiles it for each major version of the SDK,
// whose import path alone differs.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

const model = "gpt-4o-mini"

func check(ok bool, what string) {
	if !ok {
		log.Fatalf("not so: %s", what)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func chat(content string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(content)},
	}
}

func main() {
	ctx := context.Background()
	place := []option.RequestOption{
		option.WithBaseURL(os.Getenv("GATEWAY_URL")), option.WithAPIKey(os.Getenv("GATEWAY_KEY")), option.WithMaxRetries(6),
	}
	client := openai.NewClient(place...)

	var raw *http.Response
	done := must(client.Chat.Completions.New(ctx, chat("Write to Ada."), option.WithResponseInto(&raw)))
	check(done.Choices[0].Message.Content != "" && done.Usage.TotalTokens > 0, "a chat completion has a text and its usage")
	check(strings.HasPrefix(raw.Header.Get("x-request-id"), "req_"), "OpenAI's id of the call is a header")
	check(raw.Header.Get("x-headrace-lane") == "urgent", "the lane is a header")

	asked := chat("Write to Ada.")
	asked.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream, sum := client.Chat.Completions.NewStreaming(ctx, asked), openai.ChatCompletionAccumulator{}
	for stream.Next() {
		check(sum.AddChunk(stream.Current()), "chunks add up")
	}
	check(stream.Err() == nil, "a stream ends well")
	check(sum.Choices[0].Message.Content != "" && sum.Usage.TotalTokens > 0, "a stream has a text and its usage")

	events := client.Responses.NewStreaming(ctx, responses.ResponseNewParams{
		Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Write to Ada.")},
	})
	var last responses.ResponseStreamEventUnion
	for number := int64(0); events.Next(); number++ {
		last = events.Current()
		check(last.SequenceNumber == number, "events are numbered in their order")
	}
	check(events.Err() == nil && last.Type == "response.completed", "a response's events end with the whole")
	check(last.Response.OutputText() != "", "a response has a text")

	vectors := must(client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: "text-embedding-3-small",
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
	}))
	check(len(vectors.Data) == 2 && len(vectors.Data[1].Embedding) == 1536, "there is a vector for each input")
	check(must(client.Models.Get(ctx, model)).ID == model, "a model is found")

	// A time-out of the transport is repeated by the SDK; one of its own option ends the call, which its id finds again.
	hasty := openai.NewClient(append(place, option.WithHTTPClient(&http.Client{Timeout: time.Second}))...)
	late := must(hasty.Chat.Completions.New(ctx, chat("[after 2.5] [call "+os.Getenv("MARKER")+"]")))
	check(late.Choices[0].Message.Content != "", "a repetition after a time-out joins")
	named := option.WithHeader("x-headrace-id", os.Getenv("MARKER"))
	left := chat("[after 2] [call " + os.Getenv("MARKER") + "-named]")
	_, err := client.Chat.Completions.New(ctx, left, named, option.WithRequestTimeout(time.Second))
	check(errors.Is(err, context.DeadlineExceeded), "a request's time-out ends the call")
	found := must(client.Chat.Completions.New(ctx, left, named))
	check(found.Choices[0].Message.Content != "", "the same id again joins")

	var failure *openai.Error
	_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: model})
	check(errors.As(err, &failure) && failure.StatusCode == 400 && failure.Param == "messages", "a wrong request is refused")
	stranger := openai.NewClient(append(place, option.WithAPIKey("sk-wrong"))...)
	_, err = stranger.Models.List(ctx)
	check(errors.As(err, &failure) && failure.StatusCode == 401 && failure.Code == "invalid_api_key", "a wrong key is refused")
}
