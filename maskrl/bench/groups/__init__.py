"""What is compared, group by group; each makes tasks, or measures by itself."""
