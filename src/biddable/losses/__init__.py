"""The equations room: pure functions of tensors, and nothing else.

The room's law. A docstring gives the formula in its paper's letters, with the citation, and says where we depart. A
mask is True where a token counts, and what it hides nothing sees: not the value, not the gradient, not even a NaN.
Every mean is over what counts; over nothing there is no mean, so an empty mask is a ValueError and never a NaN. A
loss returns a scalar, and nothing here touches a device, a setting, a logger or a random stream, or imports anything
of ours. Nothing is detached on the way: whoever wants no gradient (rewards, advantages, old log-probabilities) says so
where it calls.

Arguments bear the plain names that docs/ and learn/ use, their shape is in the signature; what is made inside carries
its shape as a suffix, with the legend at the top of the module.

masked: means and whitening · sft: likelihood · reward: rankings · ppo · dpo · group: RLOO, GRPO, REINFORCE++ · kl
"""
