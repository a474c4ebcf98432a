"""In: a loaded encoder, perhaps an index. Out: an HTTP server that answers many clients from one model, and a page for people.

Next: `cli`. A request comes in through `app`, is read into `bodies`, becomes jobs in `service`, shares rows with others in `batcher`.
"""
