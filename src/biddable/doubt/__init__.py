"""Help in the hour of doubt: what will it take (plan), what is learnt (masks), what went wrong (doctor)?"""
