"""The metrics of a process, shown on the ops port.

Each collector covers one subject: it reads counts that are kept elsewhere, at the time
of the scrape. Labels are our own kinds, states, names and routes: nothing that a caller
or Stripe chooses is a label, so no person is named and the number of series is bounded.
docs/metrics.md lists all metrics; a test compares it with them.
"""
