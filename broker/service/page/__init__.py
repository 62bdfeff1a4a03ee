"""The live page that each dispatcher serves: what flows, what limits it, what is wrong; it shows and changes nothing.

Here belong the page itself (one HTML file), the document that it draws, and how documents reach open pages once a
second. Figures are read elsewhere: `headrace.broker.service.status` makes the status and says what is wrong with it,
`headrace.broker.observability.panels` has the title and the meaning of each figure.
"""
