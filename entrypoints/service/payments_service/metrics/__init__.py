"""What a process measures of itself, for the ops port to show.

Each collector shows one subject: it reads what is counted elsewhere, when it is asked.
Labels are kinds, states, names and routes of our own: nothing that a caller, or Stripe,
chooses is one, so that no person is named and the number of series is bounded.
docs/metrics.md lists all of them; a test holds it to what is shown.
"""
